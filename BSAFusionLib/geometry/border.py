"""Carries a displacement field beyond the border of its grid, to where it has faded to zero."""

import numpy as np
import SimpleITK as sitk

slope = 3.0  # mm of margin for each mm of displacement at the border, so that fading does not fold
widest = 1 / 8  # of the volume's longest side, so that memory at most doubles; folds are then for topology.py


def fade_out(field: sitk.Image) -> sitk.Image:
    """The field on a grid with a margin around it, in which it fades smoothly to zero at the outermost voxels.

    ITK takes a field for zero, and Slicer for the nearest value, outside its grid; one that ends in zeros is the same
    to both. The margin is as wide as the largest displacement at the border asks for, at least one voxel and at most
    `widest`. The inner voxels keep their place and value.
    """
    vectors = sitk.GetArrayViewFromImage(field)
    faces = [np.take(vectors, end, axis) for axis in range(3) for end in (0, -1)]
    largest = max(float(np.linalg.norm(face, axis=-1).max()) for face in faces)
    reach = min(slope * largest, widest * max(np.multiply(field.GetSize(), field.GetSpacing())))
    width = [max(1, int(np.ceil(reach / spacing))) for spacing in field.GetSpacing()]
    padded = sitk.ZeroFluxNeumannPad(field, width, width)
    ramps = []
    for count, margin in zip(field.GetSize(), width, strict=True):
        rise = (1 - np.cos(np.pi * np.arange(margin) / margin)) / 2
        ramps.append(np.concatenate([rise, np.ones(count), rise[::-1]]))
    faded = sitk.GetArrayFromImage(padded)
    in_plane = (ramps[1][:, None] * ramps[0])[..., None]
    for plane, share in zip(faded, ramps[2], strict=True):
        plane *= in_plane * share
    image = sitk.GetImageFromArray(faded, isVector=True)
    image.CopyInformation(padded)
    return image


def within(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The part of an image that lies on a grid, the image's grid being that one with a margin around it."""
    cut = sitk.RegionOfInterest(image, grid.GetSize(), image.TransformPhysicalPointToIndex(grid.GetOrigin()))
    cut.CopyInformation(grid)
    return cut
