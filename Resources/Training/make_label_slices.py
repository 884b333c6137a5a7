"""Makes slices of tissue maps to draw synthetic contrasts from, along all three axes of one head.

Grey and white matter are the ICBM 152 maps inside nilearn, which have no skull and no scalp: those are layers of usual
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

from BSAFusionLib.pipeline.slicing import cut, slice_grid  # noqa: E402

layers = {"fluid": 3.0, "skull": 9.0, "scalp": 16.0}  # mm from the brain's surface to the layer's outer side
apart = 3  # mm between slices
margin = [20, 20, 20]  # mm of nothing around the maps


def main() -> None:
    grey, white, brain = (
        sitk.ConstantPad(as_image(load(resolution=1)), margin, margin, 0.0)
        for load in (
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    )
    depth = sitk.SignedMaurerDistanceMap(sitk.Cast(brain > 0.5, sitk.sitkUInt8), squaredDistance=False)
    maps = {"grey": grey, "white": white, "fluid": share(depth, layers["fluid"]) - grey - white}
    for inner, outer in (("fluid", "skull"), ("skull", "scalp")):
        maps[outer] = share(depth, layers[outer]) - share(depth, layers[inner])
    slices = []
    for axis in "ijk":
        grid = slice_grid(grey, axis)
        stacks = np.stack([cut(sitk.Clamp(each, lowerBound=0, upperBound=1), grid) for each in maps.values()], axis=1)
        seen = stacks[:, :2].sum(axis=1).mean(axis=(1, 2)) > 0.02
        slices.append((255 * stacks[seen][::apart]).round().astype(np.uint8))
    np.savez_compressed(sys.argv[1], tissues=list(maps), maps=np.concatenate(slices))
    print(", ".join(maps), *(len(each) for each in slices))


def share(depth: sitk.Image, reach: float) -> sitk.Image:
    """1 where a voxel is nearer to the brain than `reach` mm, with a soft border."""
    return sitk.Clamp(reach + 0.5 - depth, lowerBound=0, upperBound=1)


if __name__ == "__main__":
    main()
