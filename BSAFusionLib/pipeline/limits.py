"""Limit the deformation to what is plausible: no displacements beyond the training, no folds."""

import SimpleITK as sitk

from BSAFusionLib.geometry.fields import fade_to_zero, limit_length
from BSAFusionLib.geometry.folds import remove_folds

MAX_DISPLACEMENT_PX = 18.0  # about the longest displacements of the training slices


def limit_displacements(field: sitk.Image, pixel_mm: float) -> tuple[sitk.Image, tuple[str, ...]]:
    """Shorten displacements beyond those of the training.

    Args:
        field: mm, LPS.
        pixel_mm: Of the registered slices.

    Returns:
        The field, and remarks on what was changed.
    """
    longest_mm = MAX_DISPLACEMENT_PX * pixel_mm
    limited, before_mm = limit_length(field, longest_mm)
    if before_mm <= longest_mm:
        return limited, ()
    return limited, (
        f"The network estimated displacements of up to {before_mm:.3g} mm, longer than those of its training; they "
        f"were shortened to {longest_mm:.3g} mm. Provide a better initial transform if there is one.",
    )


def add_margin(field: sitk.Image, fold_free: bool) -> tuple[sitk.Image, tuple[str, ...]]:
    """Let a field fade to zero in a margin around it, and remove its folds if asked to.

    Args:
        field: mm, LPS.
        fold_free: Whether to remove folds.

    Returns:
        The field, and remarks on what was changed.
    """
    faded = fade_to_zero(field)
    if not fold_free:
        return faded, ()
    unfolded, change_mm = remove_folds(faded)
    if change_mm == 0:
        return unfolded, ()
    return unfolded, (f"The deformation folded space in places; it was reduced there, by at most {change_mm:.2g} mm.",)
