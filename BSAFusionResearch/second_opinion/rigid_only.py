"""Register a pair as the program does, but only rigidly, with its verdict: a fraction of the time of a whole run."""

from typing import NamedTuple

import SimpleITK as sitk

from BSAFusionLib.pipeline.case import prepare_case
from BSAFusionLib.pipeline.doubt import Doubt, SecondOpinion, judge
from BSAFusionLib.pipeline.head_start import HeadStart
from BSAFusionLib.pipeline.initialization import find_heads, initialize
from BSAFusionLib.pipeline.pair_comparison import PairComparison
from BSAFusionLib.pipeline.second_opinion import measure_opinion
from BSAFusionLib.settings import Settings
from BSAFusionResearch.second_opinion.results import sampled_estimate_mm


class RigidOutcome(NamedTuple):
    """What a run knows after its rigid stage.

    Attributes:
        transform: Fixed point to moving point, mm, LPS.
        heads: The heads' own poses.
        opinion: The evidence on the transform.
        doubt: What follows from it.
        warnings: What the user should know about the volumes, a sentence each.
    """

    transform: sitk.Transform
    heads: HeadStart
    opinion: SecondOpinion
    doubt: Doubt
    warnings: tuple[str, ...]


def register_rigidly(fixed: sitk.Image, moving: sitk.Image, settings: Settings) -> RigidOutcome:
    """Run the stages of `register_and_fuse` up to the rigid initialization, and judge that one.

    The network is asked on a few slices only, for the verdict.

    Args:
        fixed: The MRI.
        moving: The other volume.
        settings: The choices of the run.

    Raises:
        FusionError: As `register_and_fuse` raises it.
    """
    case = prepare_case(fixed, moving, settings)
    volumes = case.network_input
    heads = find_heads(case)
    transform = initialize(case, heads).transform
    estimated_mm = sampled_estimate_mm(volumes, case.network, transform)
    opinion = measure_opinion(PairComparison(volumes), heads, transform, estimated_mm)
    return RigidOutcome(transform, heads, opinion, judge(opinion), case.warnings)
