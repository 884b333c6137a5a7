"""Transforms read from files that ITK, Slicer or this program wrote."""

from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.paths import readable_by_itk, require_file


def read_transform(path: Path) -> sitk.Transform:
    """Read a transform, point of the fixed volume to point of the moving one, mm, LPS.

    Raises:
        FusionError: There is no such file, or it holds no transform in space.
    """
    require_file(path)
    try:
        with readable_by_itk(path) as name:
            transform: sitk.Transform | None = sitk.ReadTransform(name)
    except (OSError, RuntimeError):
        transform = None
    if transform is None or transform.GetDimension() != 3:
        raise FusionError(
            f"The file {path} is no transform in space; give the deformation.h5 of a result, or another .h5 or .tfm "
            "file."
        )
    return transform
