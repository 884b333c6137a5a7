"""Make slices of tissue maps to draw synthetic contrasts from, along all three axes of one head.

Gray and white matter are the ICBM 152 maps inside nilearn, which have no skull and no scalp: those are layers of usual
thickness around the brain. It needs one package more than the program:

    .venv/bin/python -m pip install --constraint constraints.txt nilearn
    .venv/bin/python Resources/Training/make_label_slices.py labels.npz
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nilearn import datasets

resources = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(resources.parent), str(resources / "SampleData")]

from make_sample_data import as_image  # noqa: E402  (found only once the path is set)

from BSAFusionLib.pipeline.slicing import cut_slices, slice_grid  # noqa: E402

LAYERS_MM = {"fluid": 3.0, "skull": 9.0, "scalp": 16.0}
"""Distance from the brain's surface to the outer side of each layer."""

SLICE_DISTANCE_MM = 3
MARGIN_MM = [20, 20, 20]
"""Empty border around the maps."""

LEAST_BRAIN = 0.02
"""Share of brain that a slice must show."""


def main() -> None:
    """Write the slices to the file that the command line names."""
    gray, white, brain = (
        sitk.ConstantPad(as_image(load(resolution=1)), MARGIN_MM, MARGIN_MM, 0.0)
        for load in (
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    )
    depth = sitk.SignedMaurerDistanceMap(sitk.Cast(brain > 0.5, sitk.sitkUInt8), squaredDistance=False)
    maps = {"gray": gray, "white": white, "fluid": share(depth, LAYERS_MM["fluid"]) - gray - white}
    for inner, outer in (("fluid", "skull"), ("skull", "scalp")):
        maps[outer] = share(depth, LAYERS_MM[outer]) - share(depth, LAYERS_MM[inner])
    slices = []
    for axis in "ijk":
        grid = slice_grid(gray, axis)
        stacks = np.stack(
            [cut_slices(sitk.Clamp(tissue, lowerBound=0, upperBound=1), grid) for tissue in maps.values()], axis=1
        )
        in_brain = stacks[:, :2].sum(axis=1).mean(axis=(1, 2)) > LEAST_BRAIN
        slices.append((255 * stacks[in_brain][::SLICE_DISTANCE_MM]).round().astype(np.uint8))
    np.savez_compressed(sys.argv[1], tissues=list(maps), maps=np.concatenate(slices))
    print(", ".join(maps), *map(len, slices))


def share(depth: sitk.Image, reach: float) -> sitk.Image:
    """Return 1 where a voxel is closer to the brain than `reach` mm, with a soft border."""
    return sitk.Clamp(reach + 0.5 - depth, lowerBound=0, upperBound=1)


if __name__ == "__main__":
    main()
