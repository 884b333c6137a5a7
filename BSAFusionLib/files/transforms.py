"""Transforms read from files that ITK, Slicer or this program wrote."""

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.paths import readable_by_itk, require_file

TEXT_MAGIC = b"#Insight Transform File"
FIELD = re.compile(rb"^(Transform|Parameters|FixedParameters):(.*)$", re.MULTILINE)
COMPOSITE = "CompositeTransform"
# Numbers and fixed numbers that a text file must have of a transform: with fewer, ITK writes beyond its own memory.
LEAST_NUMBERS = {
    "TranslationTransform": (3, 0),
    "ScaleTransform": (3, 3),
    "VersorTransform": (3, 3),
    "Euler3DTransform": (6, 3),
    "VersorRigid3DTransform": (6, 3),
    "Similarity3DTransform": (7, 3),
    "ScaleVersor3DTransform": (9, 3),
    "ScaleSkewVersor3DTransform": (15, 3),
    "AffineTransform": (12, 3),
    "MatrixOffsetTransformBase": (12, 3),
}


def read_transform(path: Path) -> sitk.Transform:
    """Read a transform, point of the fixed volume to point of the moving one, mm, LPS.

    Raises:
        FusionError: There is no such file, it holds no transform in space, or several, or one that is damaged.
    """
    require_file(path)
    _check_text(path)
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


def _check_text(path: Path) -> None:
    """Check that a text file holds one transform with all its numbers.

    Args:
        path: A file of any format; others than text are not checked.

    Raises:
        FusionError: Numbers are missing, or it holds several transforms, of which ITK would return the first.
    """
    with path.open("rb") as file:
        if file.read(len(TEXT_MAGIC)) != TEXT_MAGIC:
            return
        content = file.read()
    parts: list[dict[bytes, bytes]] = []
    for name, text in FIELD.findall(content):
        if name == b"Transform" or not parts:
            parts.append({})
        parts[-1][name] = text.strip()
    kinds = [part.get(b"Transform", b"").decode("latin-1").split("_")[0] for part in parts]
    if len(parts) > 1 and kinds[0] != COMPOSITE:
        raise FusionError(
            f"The file {path} holds {len(parts)} transforms, not one; save them as one composite transform."
        )
    for kind, part in zip(kinds, parts, strict=True):
        if not part.get(b"Transform", b"").endswith(b"_3_3"):
            continue  # a plane's, which the caller rejects
        numbers, fixed = (_numbers(part.get(name, b"")) for name in (b"Parameters", b"FixedParameters"))
        least, least_fixed = LEAST_NUMBERS.get(kind, (0, 0))
        if len(numbers) < least or len(fixed) < least_fixed or not np.isfinite(np.append(numbers, fixed)).all():
            raise FusionError(f"Numbers of the transform in {path} are missing, or are not finite; save it again.")


def _numbers(text: bytes) -> np.ndarray:
    """Return the numbers in a line; NaN for a word that is none."""
    try:
        return np.array(text.split(), float)
    except ValueError:
        return np.array([np.nan])
