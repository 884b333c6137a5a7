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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from BSAFusionLib.slices import cut, slice_grid  # noqa: E402  (found only once the path is set)

layers = {"fluid": 3.0, "skull": 9.0, "scalp": 16.0}  # mm from the brain's surface to the layer's outer side
apart = 3  # mm between slices


def main() -> None:
    grey, white, brain = (
        as_image(load(resolution=1))
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


def as_image(template) -> sitk.Image:
    """A nilearn template (nibabel, RAS) with 20 mm around it, as a SimpleITK image (float32, LPS)."""
    image = sitk.GetImageFromArray(np.asarray(template.dataobj, dtype=np.float32).transpose(2, 1, 0))
    spacing = np.diag(template.affine)[:3]  # the templates' axes are left to right, posterior to anterior, up
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((template.affine[:3, 3] * (-1, -1, 1)).tolist())
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return sitk.ConstantPad(image, [20] * 3, [20] * 3, 0.0)


if __name__ == "__main__":
    main()
