"""Measure what a second witness adds to the verdict: `python Testing/benchmarks/witnesses.py VOLUMES`.

VOLUMES is a folder as `run.py evaluate --volumes` takes it. T1 with PET and CT are moved by known motions, with elastic
parts of 0, 3, 6 and 10 mm, and registered; the estimated deformation is judged by mutual information alone and together
with the agreement of the network's features. Printed are, for each pair: the mean error inside the head in mm, after
the rigid search, with the whole deformation, and with what either verdict keeps; in how many cases each is worse than
the search by more than 0.1 mm; and the correlation of a slice's gains in mutual information and in agreement with its
true gain.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.files.volumes import read_volume  # noqa: E402
from BSAFusionLib.geometry.fields import (  # noqa: E402
    compose_field,
    compose_transform,
    error_mm,
    field_from_transform,
)
from BSAFusionLib.network.runner import Runner  # noqa: E402
from BSAFusionLib.network.weights import load_inference_network  # noqa: E402
from BSAFusionLib.pipeline.case import LoadedNetwork  # noqa: E402
from BSAFusionLib.pipeline.deformation import apply_helpful_part  # noqa: E402
from BSAFusionLib.pipeline.intensities import head_mask, measure_intensities  # noqa: E402
from BSAFusionLib.pipeline.measures import mutual_information  # noqa: E402
from BSAFusionLib.pipeline.network_input import NetworkInput  # noqa: E402
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse  # noqa: E402
from BSAFusionLib.pipeline.result import Result  # noqa: E402
from BSAFusionLib.resources import MODELS  # noqa: E402
from BSAFusionLib.settings import Settings  # noqa: E402
from BSAFusionResearch.evaluation.case_summary import HARM_MM  # noqa: E402
from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402

motions = ((15.0, 20.0), (5.0, 5.0), (20.0, 10.0), (8.0, 15.0))  # degrees and mm
elastics = (0.0, 3.0, 6.0, 10.0)  # mm
first_seed = 100  # none of those that anything else is measured or was chosen on
ways = "rigid search", "all that was found", "kept by mutual information", "kept by both"
least = 500  # pixels of the head that a slice must show to count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path)
    parser.add_argument("--motions", type=int, default=4, choices=range(1, 5), help="rigid ones (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fixed = read_volume(arguments.volumes / "mri_t1.nii.gz")
    for modality in ("pet", "ct"):
        moving = sitk.Cast(read_volume(arguments.volumes / f"{modality}.nii.gz"), sitk.sitkFloat32)
        known = [
            KnownMotion(first_seed + number, *motion, elastic)
            for number, motion in enumerate(motions[: arguments.motions])
            for elastic in elastics
        ]
        rows, gains = zip(*(measured(fixed, moving, modality, motion) for motion in known), strict=True)
        errors = np.array(rows)
        worse = (errors > errors[:, :1] + HARM_MM).sum(axis=0)
        lines = [
            [way, f"{mean:.3f}", f"{count} of {len(errors)}"]
            for way, mean, count in zip(ways, errors.mean(axis=0), worse, strict=True)
        ]
        print(f"\n{markdown_table([f'T1 with {modality.upper()}', 'error, mm', 'worse than the search'], lines)}")
        truly, information, agreement = np.concatenate(gains).T
        print(
            f"{len(truly)} slices: correlation of the true gain with that in mutual information "
            f"{np.corrcoef(truly, information)[0, 1]:.2f}, in agreement {np.corrcoef(truly, agreement)[0, 1]:.2f}",
            flush=True,
        )


def measured(
    fixed: sitk.Image, moving: sitk.Image, modality: str, motion: KnownMotion
) -> tuple[list[float], np.ndarray]:
    """Return the mean error of every way, and each slice's gains (slice, 3) in mm, nats and agreement."""
    moved, truth, head = motion.move(moving, fixed), motion.transform(fixed), head_mask(fixed)
    result = register_and_fuse(fixed, moved, Settings(modality, device="cpu"))
    start, found = result.searched, field_from_search(result)
    network_input = NetworkInput(
        *(measure_intensities(each, kind)[0].luminance(each) for each, kind in ((fixed, "mri"), (moved, modality)))
    )
    weights = MODELS / f"{modality}.safetensors"
    network = load_inference_network(weights)
    loaded = LoadedNetwork(Runner(network), network.metadata.size, weights)
    grid = network_input.registration_grid(2, loaded.size)
    kept = [apply_helpful_part(found, start, network_input, 2, witness)[0] for witness in (None, loaded)]
    transforms = [start, *(compose_transform(field, start) for field in (found, *kept))]

    inside = sitk.GetArrayFromImage(sitk.Resample(head, grid, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0
    where = sitk.GetArrayFromImage(field_from_transform(truth, grid))
    figures = []
    for transform in transforms[:2]:
        off = np.linalg.norm(sitk.GetArrayFromImage(field_from_transform(transform, grid)) - where, axis=-1)
        there = network_input.stack(grid, transform)
        agreement = loaded.runner.agreement(there)
        figures.append(
            [
                [
                    -off[n][inside[n]].mean(),
                    mutual_information(there.fixed[n][inside[n]], there.moving[n][inside[n]], 24),
                    agreement[n],
                ]
                for n in range(len(off))
                if inside[n].sum() >= least
            ]
        )
    gained = np.subtract(figures[1], figures[0])
    return [error_mm(transform, truth, head) for transform in transforms], gained[np.isfinite(gained).all(axis=1)]


def field_from_search(result: Result) -> sitk.Image:
    """Return the estimated field that the searched transform follows, mm, LPS, as the verdict of a run judges it.

    A result states it for the rigid transform that the network has corrected of shift and turn.
    """
    corrected = sitk.CompositeTransform([result.searched.GetInverse(), result.prealignment])  # the last one acts first
    return compose_field(result.estimated_field, corrected)


if __name__ == "__main__":
    main()
