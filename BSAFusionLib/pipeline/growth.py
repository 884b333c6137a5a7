"""Reduce a deformation where a second round of registration keeps increasing it."""

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from BSAFusionLib.geometry.fields import scale
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.slicing import resample_mask

# Where the network sees what it was trained on, a second round changes the first one's displacement both ways: on CT
# and PET of heads 11 and 12 it grew by -72 to 29 % in brain, neck and head. Where it sees nothing that it knows, it
# asks for the same again: by 60 % more in the neck of a PET template.
ALLOWED_GROWTH = 0.35
REJECTED_GROWTH = 0.6  # in between, less and less of the displacement is kept
NEIGHBORHOOD_MM = 24.0  # standard deviation of the weights with which growth is averaged
SPACING_MM = 8.0  # of the grid that growth is measured on
SMALL_MM = 0.5  # displacements of this length do not tell growth from noise
# Who reports less of a displacement is bound to find more of it in the second round, as SPECT's network does in brains.
LEAST_SLOPE = 0.8


def limit_growth(
    field: sitk.Image, rough: sitk.Image, head: sitk.Image, slope: float = 1.0
) -> tuple[sitk.Image, tuple[str, ...]]:
    """Reduce a displacement where the second round increased it by more than it does in a well-seen head.

    Args:
        field: Of the second round, mm, LPS.
        rough: Of the first, on the same grid.
        head: Mask of the fixed head.
        slope: Of what the network reports against what is true; nothing is reduced where it is under `LEAST_SLOPE`.

    Returns:
        The field, and a remark on the mean reduction over the head, if it is at least 1 %.
    """
    if slope < LEAST_SLOPE:
        return field, ()
    coarse = lattice_over(field, [SPACING_MM] * 3)
    first, second = (
        sitk.GetArrayFromImage(sitk.Resample(each, coarse, sitk.Transform(), sitk.sitkLinear))
        for each in (rough, field)
    )
    reach = [NEIGHBORHOOD_MM / spacing for spacing in reversed(coarse.GetSpacing())]
    along = gaussian_filter((first * (second - first)).sum(axis=-1), reach, mode="nearest")
    squares = gaussian_filter((first * first).sum(axis=-1), reach, mode="nearest")
    growth = along / (squares + SMALL_MM**2)
    shares = np.clip((REJECTED_GROWTH - growth) / (REJECTED_GROWTH - ALLOWED_GROWTH), 0.0, 1.0)
    inside = resample_mask(head, coarse)
    reduction = 100 * (1 - float(shares[inside].mean())) if inside.any() else 0.0
    image = sitk.GetImageFromArray(shares)
    image.CopyInformation(coarse)
    fine = sitk.Resample(image, field, sitk.Transform(), sitk.sitkLinear, 1.0, sitk.sitkFloat64, True)
    limited = scale(field, sitk.GetArrayFromImage(fine)[..., None])
    if reduction < 1:
        return limited, ()
    return limited, (
        f"Reduced the deformation by {reduction:.0f} % on average over the head: in places the second round increased "
        f"it by over {100 * ALLOWED_GROWTH:.0f} %, as it does where the network sees nothing that it knows. Check the "
        "overlay.",
    )
