"""Bring simulated patients to the fit: prepared once, kept in a folder, then seen by the network to be calibrated."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from BSAFusionLib.head_pose.weights import SHIPPED_WEIGHTS
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.network.weights import load_inference_network
from BSAFusionLib.pipeline.calibration import Calibration, uncalibrated
from BSAFusionLib.pipeline.displacement import rough_field
from BSAFusionLib.pipeline.observed import observe
from BSAFusionLib.pipeline.posterior import infer
from BSAFusionLib.pipeline.registration import register_few, register_from
from BSAFusionResearch.calibration.fit import FittedCase
from BSAFusionResearch.calibration.prepared import PreparedCase, load_prepared, prepare, read_origin, save_prepared
from BSAFusionResearch.calibration.rotated import RotatedCase
from BSAFusionResearch.evaluation_heads.cases import HeadCase
from BSAFusionResearch.simulation.heads import head_files
from BSAFusionResearch.simulation.origins import file_hashes

POINTS = 100  # of the brain, a case; neighboring ones know much the same


def prepared_cases(cases: list[HeadCase], heads: Path, weights: Path, folder: Path) -> Iterator[PreparedCase]:
    """Yield cases, those that a folder lacks, or has from other files, after they were prepared and written there.

    Cases that do not say what they were made from, as earlier versions wrote them, are taken as they are.

    Args:
        cases: Which patients.
        heads: The label files.
        weights: Any weights for the modality.
        folder: Keeps what does not depend on the weights.

    Raises:
        FusionError: A head or the weights are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = load_inference_network(weights).metadata.size
    for case in cases:
        path = folder / f"{case.name}.npz"
        origin = {"slice_side": side, **file_hashes([SHIPPED_WEIGHTS, *head_files(heads, (case.head,))])}
        if not path.is_file() or read_origin(path) not in (None, origin):
            save_prepared(prepare(case, heads, weights), path, origin)
        yield load_prepared(path)


def fitted_case(
    case: PreparedCase, network: FusionNetwork, sigma_mm: float, known: Calibration | None = None
) -> FittedCase:
    """Run a network on a prepared case, in the two rounds of a run, and rotate its evidence.

    Args:
        case: Which patient.
        network: In evaluation mode.
        sigma_mm: Smoothness of the elastic part.
        known: Calibration by which the first round is followed; cautious values by default.
    """
    runner, pixel_mm = Runner(network), case.stacks[0].grid.GetSpacing()[0]
    rough = observe(register_few(runner, case.stacks), case.fixed, [sigma_mm] * 3)
    field = rough_field(infer(rough, known or uncalibrated(pixel_mm)), case.fixed, pixel_mm)
    evidence = register_from(runner, case.stacks, case.moving, field, case.initial)
    chosen = np.random.default_rng(0).permutation(len(case.points))[:POINTS]
    rotated = RotatedCase.of(observe(evidence, case.fixed, [sigma_mm] * 3), case.points[chosen])
    return FittedCase(case.name, case.elastic_mm, case.best_rigid_mm, rotated, case.truth[chosen])
