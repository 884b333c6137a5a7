"""Results on a simulated pair, right and wrong ones, with the evidence on each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.pipeline.case import LoadedNetwork
from BSAFusionLib.pipeline.handedness import settle
from BSAFusionLib.pipeline.head_start import HeadStart, start_from_heads
from BSAFusionLib.pipeline.network_input import NetworkInput, make_network_input
from BSAFusionLib.pipeline.pair_comparison import PairComparison
from BSAFusionLib.pipeline.rigid import prealign_rigidly
from BSAFusionLib.pipeline.second_opinion import estimated_length, measure_opinion
from BSAFusionLib.settings import Settings
from BSAFusionResearch.second_opinion.pairs import SimulatedPair

RIGHT_MM, WRONG_MM = 3.0, 10.0  # mean errors in the brain below and above which a result is right and wrong
SLICES = 4  # on which the network is asked, spread over the head
POSES_AGREE = ", and so the poses"  # what the kind ends with where the poses are made to agree with a wrong result
POSES_LED_ASTRAY = 3.0, 3.0  # mm and degrees by which poses differ that led the search to its wrong result


@dataclass(frozen=True)
class TriedResult:
    """One result of one pair.

    Attributes:
        kind: how it came about.
        error_mm: mean error in the brain; None where there is no right result.
        opinion: the fields of `SecondOpinion`.
    """

    kind: str
    error_mm: float | None
    opinion: dict[str, Any]


def try_results(pair: SimulatedPair, network: LoadedNetwork, number: int) -> list[TriedResult]:
    """Measure the evidence on right and wrong results of a pair.

    Args:
        pair: a simulated pair.
        network: for its modality.
        number: of the pair; what is random follows from it.
    """
    settings = Settings(pair.modality)
    try:
        volumes, _, _ = make_network_input(pair.fixed, pair.moving, settings, network.size)
    except FusionError:  # nothing shows in the window of a CT: such a run ends with a sentence
        return []
    heads = start_from_heads(pair.fixed, pair.moving)
    random = np.random.default_rng(number)
    tried = []
    comparison = PairComparison(volumes)
    for kind, transform in _transforms(pair, comparison, heads, random, registered=number % 3 == 0):
        opinion = measure_opinion(comparison, heads, transform, sampled_estimate_mm(volumes, network, transform))
        tried.append(TriedResult(kind, _error_mm(pair, transform), asdict(opinion)))
        tried += with_agreeing_poses(tried[-1])
    return tried


def with_agreeing_poses(result: TriedResult) -> list[TriedResult]:
    """Return a wrong result as if the heads' own poses had led to it; nothing for other results."""
    if not result.kind.startswith(("shifted", "turned")) or result.error_mm is None or result.error_mm <= WRONG_MM:
        return []
    gap_mm, gap_deg = POSES_LED_ASTRAY
    opinion = result.opinion | {"pose_gap_mm": gap_mm, "pose_gap_deg": gap_deg}
    return [replace(result, kind=f"{result.kind}{POSES_AGREE}", opinion=opinion)]


def _transforms(
    pair: SimulatedPair, comparison: PairComparison, heads: HeadStart, random: np.random.Generator, registered: bool
) -> Iterator[tuple[str, sitk.Transform]]:
    """Yield kind and transform of the results; that of the rigid initialization, too, where `registered`."""
    if pair.truth is None or pair.kind == "mirrored":
        yield pair.kind, prealign_rigidly(*comparison.volumes, from_heads=heads.transform)
        return
    if pair.kind == "other person":
        yield pair.kind, _moved(pair, 1.0, 1.0, random)
        return
    kind = "right" if pair.kind == "same" else "right, turned header"
    yield kind, _moved(pair, random.uniform(0, 2), random.uniform(0, 1.5), random)
    if registered:
        yield f"{kind}, registered", prealign_rigidly(*comparison.volumes, from_heads=heads.transform)
    if pair.kind == "turned header":
        return
    shift_mm, turn_deg = np.exp(random.uniform(np.log(12), np.log(150))), random.uniform(20, 180)
    for kind, transform in (
        ("shifted", _moved(pair, shift_mm, 2.0, random)),
        ("turned", _moved(pair, 5.0, turn_deg, random)),
    ):
        yield kind, transform
        if registered:  # a search that went wrong ends where nothing nearby is more similar
            yield f"{kind}, settled", settle(comparison, transform, pair.brain.mean(axis=0))


def _moved(pair: SimulatedPair, shift_mm: float, turn_deg: float, random: np.random.Generator) -> sitk.Transform:
    """Throw the truth off by a shift and a turn about the brain's center, in random directions."""
    assert pair.truth is not None
    direction, axis = (vector / np.linalg.norm(vector) for vector in random.standard_normal((2, 3)))
    motion = sitk.VersorRigid3DTransform()
    motion.SetCenter(pair.brain.mean(axis=0).tolist())
    motion.SetRotation(axis.tolist(), float(np.radians(turn_deg)))
    motion.SetTranslation((shift_mm * direction).tolist())
    return sitk.CompositeTransform([pair.truth, motion])


def _error_mm(pair: SimulatedPair, transform: sitk.Transform) -> float | None:
    if pair.truth is None or pair.kind == "other person":
        return None
    points = pair.brain[:: max(1, len(pair.brain) // 200)]
    gaps = carry_points(transform, points) - carry_points(pair.truth, points)
    return float(np.linalg.norm(gaps, axis=1).mean())


def sampled_estimate_mm(volumes: NetworkInput, network: LoadedNetwork, transform: sitk.Transform) -> float | None:
    """Ask the network on a few axial slices how far apart they are, as `estimated_length` does on all.

    Args:
        volumes: Both in [0, 1].
        network: For the modality.
        transform: Fixed point to moving point, mm, LPS.
    """
    grid = volumes.registration_grid(2, network.size)
    filled = volumes.stack(grid, transform).filled
    if len(filled) == 0:
        return None
    step = max(1, len(filled) // SLICES)
    some = grid[:, :, int(filled[0]) : int(filled[-1]) + 1 : step]
    return estimated_length(network.runner.register([volumes.stack(some, transform)]))
