"""Measure the gain of coupling slices and combining axes: `python Testing/benchmarks/coherence.py VOLUMES`.

VOLUMES is a folder as `run.py evaluate --volumes` takes it. T1 with PET and CT, moved by known motions, are registered
from one rigid initialization: every slice by itself, slices of one axis coupled, slices of three axes coupled, and
these with the limits of a run by default. With calibrated weights, as the shipped ones are, nothing is checked by
similarity. Printed are, inside the head: how far the displacement jumps from one slice to the next, mean and 95th
percentile, in mm; the mean error in mm; and the CPU seconds of registering the slices, in both rounds where they are
coupled, and making the field.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.files.volumes import read_volume  # noqa: E402
from BSAFusionLib.geometry.fields import compose_transform, error_mm, field_from_transform  # noqa: E402
from BSAFusionLib.network.runner import Runner  # noqa: E402
from BSAFusionLib.network.stack import Evidence  # noqa: E402
from BSAFusionLib.network.weights import load_inference_network  # noqa: E402
from BSAFusionLib.pipeline.calibration import uncalibrated  # noqa: E402
from BSAFusionLib.pipeline.intensities import head_mask, measure_intensities  # noqa: E402
from BSAFusionLib.pipeline.network_input import NetworkInput  # noqa: E402
from BSAFusionLib.pipeline.observed import observe  # noqa: E402
from BSAFusionLib.pipeline.posterior import infer, posterior_field  # noqa: E402
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse  # noqa: E402
from BSAFusionLib.pipeline.slicing import slice_grid  # noqa: E402
from BSAFusionLib.resources import MODELS  # noqa: E402
from BSAFusionLib.settings import Settings  # noqa: E402
from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402
from BSAFusionResearch.evaluation.volumes import DEGREES, ELASTIC_MM, MM  # noqa: E402

together = {
    "one axis, slices together": {"three_axes": False, "do_no_harm": False},
    "three axes together": {"do_no_harm": False},
    "these, with the default limits": {},
}
ways = "rigid start alone", "every slice by itself", *together
figures = "mean jump, mm", "95 %", "error, mm", "CPU seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path)
    parser.add_argument("--seeds", type=int, default=2, help="known motions a pair (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fixed = read_volume(arguments.volumes / "mri_t1.nii.gz")
    for modality in ("pet", "ct"):
        moving = sitk.Cast(read_volume(arguments.volumes / f"{modality}.nii.gz"), sitk.sitkFloat32)
        rows = [measured(fixed, moving, modality, seed) for seed in range(arguments.seeds)]
        means = np.mean(rows, axis=0)
        lines = [[way, *(f"{value:.2f}" for value in row)] for way, row in zip(ways, means, strict=True)]
        print(f"\n{markdown_table([f'T1 with {modality.upper()}', *figures], lines)}", flush=True)


def measured(fixed: sitk.Image, moving: sitk.Image, modality: str, seed: int) -> list[list[float]]:
    """Return the figures of every way, in the order of `figures`, for one motion."""
    motion = KnownMotion(seed, DEGREES, MM, ELASTIC_MM)
    moved, truth, head = motion.move(moving, fixed), motion.transform(fixed), head_mask(fixed)
    fields, seconds = [], []
    start: str | sitk.Transform = "rigid"
    for choices in together.values():
        settings = Settings(modality, start, device="cpu", **choices)
        clock: dict[str, float] = {}
        result = register_and_fuse(
            fixed, moved, settings, lambda stage, *_, clock=clock: clock.setdefault(stage, time.process_time())
        )
        start = result.searched
        # Of the whole displacement: what the network left to the rigid transform is part of it.
        after = sitk.CompositeTransform([start.GetInverse(), result.transform()])  # the last one acts first
        fields.append(field_from_transform(after, fixed))
        seconds.append(clock["fusion"] - clock["pre-registration"])  # where the first round begins
    field, spent = by_itself(fixed, moved, modality, start)
    fields.insert(0, field)
    seconds.insert(0, spent)
    rows = [[0.0, 0.0, error_mm(start, truth, head), 0.0]]
    for field, spent in zip(fields, seconds, strict=True):
        on_grid = sitk.Resample(field, fixed, sitk.Transform(), sitk.sitkLinear)
        jumps = jumps_in(on_grid, head)
        rows.append(
            [jumps.mean(), np.percentile(jumps, 95), error_mm(compose_transform(on_grid, start), truth, head), spent]
        )
    return rows


def by_itself(fixed: sitk.Image, moving: sitk.Image, modality: str, start: sitk.Transform) -> tuple[sitk.Image, float]:
    """Return the field that every slice's evidence makes by itself, and the CPU seconds from the cut slices on.

    Returns:
        The field, mm, LPS, on the fixed volume's grid, and the seconds.
    """
    network = load_inference_network(MODELS / f"{modality}.safetensors")
    grid = slice_grid(fixed, "k", network.metadata.size)
    network_input = NetworkInput(
        *(measure_intensities(image, kind)[0].luminance(image) for image, kind in ((fixed, "mri"), (moving, modality)))
    )
    stack = network_input.stack(grid, start)
    begun = time.process_time()
    (evidence,) = Runner(network).register([stack])
    # No other slice repeats the evidence of one, so that all of it counts.
    calibration = replace(uncalibrated(grid.GetSpacing()[0]), trust=1.0)
    sigma = [calibration.sigma_mm] * 3
    vectors = np.zeros((*fixed.GetSize()[::-1], 3))
    for number in stack.filled.tolist():
        here = slice(number, number + 1)
        one_slice = Evidence(grid[:, :, here], evidence.mean[here], evidence.precision[here])
        slab = fixed[:, :, here]
        posterior = infer(observe([one_slice], slab, sigma), calibration)
        vectors[number] = sitk.GetArrayFromImage(posterior_field(posterior, slab))[0]
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(fixed)
    return field, time.process_time() - begun


def jumps_in(field: sitk.Image, head: sitk.Image) -> np.ndarray:
    """Return the distances in mm between displacements at the same place in neighboring slices of the head."""
    inside = sitk.GetArrayFromImage(head) > 0
    steps = np.linalg.norm(np.diff(sitk.GetArrayFromImage(field), axis=0), axis=-1)
    return steps[inside[1:] & inside[:-1]]


if __name__ == "__main__":
    main()
