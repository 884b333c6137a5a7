"""Whether two volumes can be aligned at all; what will not do is said in one sentence."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import grid_of_size
from BSAFusionLib.modalities import MODALITIES, listed

thinnest, thickest = 1e-3, 1e3  # mm, of what can be taken for a voxel of a head
flattest = 1e-3  # the least volume that directions of length one may span
beyond_measure = 1e37  # float32 ends at 3.4e38, and sums of such values before


def checked(
    fixed: sitk.Image, moving: sitk.Image, modality: str, start: sitk.Transform
) -> tuple[sitk.Image, sitk.Image, list[str]]:
    """Both volumes with finite values, and what the user should know of them.

    modality: what the moving volume is, as in `Settings`. start: where it is taken to lie, fixed point -> moving point.
    Raises FusionError where they will not do, or do not overlap.
    """
    warnings: list[str] = []
    volumes = []
    for image, role in ((fixed, "fixed"), (moving, "moving")):
        if image.GetDimension() != 3:
            raise FusionError(
                f"The {role} volume has {image.GetDimension()} dimensions and not 3; choose the one volume you mean."
            )
        if min(image.GetSize()) < 2:
            raise FusionError(f"The {role} volume has a single slice; choose a volume of two slices or more.")
        if not all(thinnest <= side <= thickest for side in image.GetSpacing()):
            sides = " x ".join(f"{side:.3g}" for side in image.GetSpacing())
            raise FusionError(f"A voxel of the {role} volume is said to be {sides} mm; mend its spacing.")
        axes = np.reshape(image.GetDirection(), (3, 3))
        if not (np.abs(axes) < 2).all() or abs(np.linalg.det(axes)) < flattest:
            raise FusionError(f"The axes of the {role} volume leave it no room, or no bounds; mend its directions.")
        components = image.GetNumberOfComponentsPerPixel()
        rgb = components == 3 and image.GetPixelID() == sitk.sitkVectorUInt8
        if components > 1 and not (rgb and role == "moving" and MODALITIES[modality].in_color):
            colored = listed([row for row in MODALITIES.values() if row.in_color])
            raise FusionError(
                f"The {role} volume has {components} values a voxel where one is needed; convert it to a scalar volume "
                f"first (a {colored} may also be RGB of 8 bits)."
            )
        volumes.append(_finite(image, role, warnings))
    if _overlap(fixed, moving, start) == 0:
        raise FusionError(
            "The volumes do not overlap in space; lay one over the other (in Slicer: Transforms, or Center Volume) and "
            "try again."
        )
    return volumes[0], volumes[1], warnings


def _finite(image: sitk.Image, role: str, warnings: list[str]) -> sitk.Image:
    """The volume, voxels that are not finite set to the lowest of the others; FusionError where it shows nothing.

    One of `beyond_measure` or more counts as not finite: some programs put the largest number there is outside a body.
    """
    values = sitk.GetArrayViewFromImage(image)
    sound, ends = True, []
    for plane in values:  # by planes, for large volumes' sake
        finite = np.abs(plane) < beyond_measure
        sound = sound and finite.all()
        some = plane if sound else plane[finite]
        ends += [some.min(), some.max()] if some.size else []
    if not ends:
        raise FusionError(f"The {role} volume has no voxel with a finite value; choose another.")
    if min(ends) == max(ends):
        raise FusionError(f"All voxels of the {role} volume have the same value; choose another.")
    if sound:
        return image
    finite = np.abs(values) < beyond_measure
    warnings.append(
        f"{np.count_nonzero(~finite)} voxels of the {role} volume were not finite, or beyond 1e37; they count as its "
        "lowest."
    )
    mended = sitk.GetImageFromArray(np.where(finite, values, min(ends)))
    mended.CopyInformation(image)
    return mended


def _overlap(fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform) -> float:
    """The share of the fixed volume's box that the moving volume's covers, on a lattice of 16 points an axis."""
    lattice = sitk.Image([16] * 3, sitk.sitkUInt8)
    size = np.array(fixed.GetSize())
    lattice.SetSpacing((size * fixed.GetSpacing() / 16).tolist())
    lattice.SetDirection(fixed.GetDirection())
    lattice.SetOrigin(fixed.TransformContinuousIndexToPhysicalPoint(((size / 16 - 1) / 2).tolist()))
    covered = grid_of_size(moving, np.array([1, 1, 1])) + 1
    return float(sitk.GetArrayFromImage(sitk.Resample(covered, lattice, start, sitk.sitkNearestNeighbor)).mean())
