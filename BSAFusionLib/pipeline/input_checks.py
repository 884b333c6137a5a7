"""Reject volumes that cannot be registered, with a clear error."""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import directions
from BSAFusionLib.geometry.overlap import boxes_overlap
from BSAFusionLib.modalities import MODALITIES, listed
from BSAFusionLib.pipeline.ct_units import recognize_ct_units
from BSAFusionLib.pipeline.lengths import UNIT_NAMES, likely_unit
from BSAFusionLib.pipeline.roles import check_roles, remarks_on_roles

MIN_SPACING_MM, MAX_SPACING_MM = 1e-3, 1e3
MAX_DIRECTION = 2.0  # of a component; directions have the length one
MIN_DETERMINANT = 1e-3  # of the directions
MAX_LENGTH_ERROR = 1e-3  # of a direction
MAX_MAGNITUDE = 1e37  # float32 ends at 3.4e38, and sums of such values before


class CheckedVolumes(NamedTuple):
    """Two volumes that can be registered.

    Attributes:
        fixed: All values are finite.
        moving: All values are finite.
        warnings: What the user should know about them, a sentence each.
        overlap: Whether they overlap in space.
    """

    fixed: sitk.Image
    moving: sitk.Image
    warnings: tuple[str, ...]
    overlap: bool


def check_volumes(
    fixed: sitk.Image, moving: sitk.Image, modality: str, initial_transform: sitk.Transform
) -> CheckedVolumes:
    """Check that two volumes can be registered, and replace values that are not finite.

    Args:
        fixed: The MRI.
        moving: The other volume.
        modality: Of the moving volume, as in `Settings`.
        initial_transform: Fixed point to moving point, mm, LPS.

    Raises:
        FusionError: A volume cannot be registered.
    """
    _check_geometry(fixed, "fixed")
    _check_components(fixed, "fixed", rgb_allowed=False)
    finite_fixed, fixed_warnings = replace_non_finite(fixed, "fixed")
    _check_geometry(moving, "moving")
    _check_components(moving, "moving", rgb_allowed=MODALITIES[modality].in_color)
    finite_moving, moving_warnings = replace_non_finite(moving, "moving")
    moving_warnings = (*moving_warnings, *_odd_lengths(fixed, "fixed"), *_odd_lengths(moving, "moving"))
    check_roles(finite_fixed, finite_moving, modality)
    finite_moving, unit_warnings = unwrap_ct(finite_moving, modality)
    unit_warnings = (*unit_warnings, *_color_warning(moving, modality))
    moving_warnings = (*moving_warnings, *unit_warnings, *remarks_on_roles(finite_fixed, finite_moving, modality))
    overlap = boxes_overlap(fixed, moving, initial_transform)
    return CheckedVolumes(finite_fixed, finite_moving, (*fixed_warnings, *moving_warnings), overlap)


def no_overlap() -> FusionError:
    """Return the error for volumes that lie apart, where nothing says how to bring them together."""
    return FusionError(
        "The volumes do not overlap in space; move one over the other (in Slicer: Transforms, or Center Volume) and "
        "try again."
    )


def _check_geometry(image: sitk.Image, role: str) -> None:
    """Reject a volume whose dimensions, size, spacing or directions are invalid."""
    if image.GetDimension() != 3:
        raise FusionError(f"The {role} volume has {image.GetDimension()} dimensions; choose a volume that has 3.")
    if min(image.GetSize()) < 2:
        raise FusionError(f"The {role} volume has a single slice; choose a volume of at least two slices.")
    for axis, spacing in zip("ijk", image.GetSpacing(), strict=True):
        if not MIN_SPACING_MM <= spacing <= MAX_SPACING_MM:
            raise FusionError(
                f"Voxel size {spacing:.3g} mm along {axis} of the {role} volume is invalid; fix the spacing in the "
                f"file header{_unit_in_words(image)}."
            )
    axes = directions(image)
    if not (np.abs(axes) < MAX_DIRECTION).all() or abs(np.linalg.det(axes)) < MIN_DETERMINANT:
        raise FusionError(
            f"The axes of the {role} volume are parallel or out of bounds; fix the directions in the file header."
        )
    for axis, length in zip("ijk", np.linalg.norm(axes, axis=0), strict=True):
        if abs(length - 1) > MAX_LENGTH_ERROR:
            raise FusionError(
                f"The direction along {axis} of the {role} volume has the length {length:.4g}, not 1; divide the "
                "direction by it, and multiply the voxel size by it."
            )


def _odd_lengths(image: sitk.Image, role: str) -> tuple[str, ...]:
    """Return a warning for a volume whose lengths are hardly in mm."""
    unit = _unit_in_words(image)
    longest = max(np.multiply(image.GetSize(), image.GetSpacing()))
    return (f"The {role} volume is {longest:.3g} mm long; fix its spacing{unit}.",) if unit else ()


def _unit_in_words(image: sitk.Image) -> str:
    """Return what a volume's lengths seem to be in, if not mm, to go on with in a sentence."""
    unit = likely_unit(float(max(np.multiply(image.GetSize(), image.GetSpacing()))))
    return f", which seems to be in {UNIT_NAMES[unit]}" if unit != 1 else ""


def _check_components(image: sitk.Image, role: str, rgb_allowed: bool) -> None:
    """Reject a volume that has several values per voxel, unless it is RGB where that is allowed."""
    components = image.GetNumberOfComponentsPerPixel()
    is_rgb = components == 3 and image.GetPixelID() == sitk.sitkVectorUInt8
    if components > 1 and not (is_rgb and rgb_allowed):
        colored = listed([row for row in MODALITIES.values() if row.in_color])
        raise FusionError(
            f"The {role} volume has {components} values per voxel; convert it to a scalar volume (only a {colored} may "
            "be 8-bit RGB)."
        )


def _color_warning(moving: sitk.Image, modality: str) -> tuple[str, ...]:
    """Return a warning for a volume in color, whose luminance is shown."""
    if moving.GetNumberOfComponentsPerPixel() == 1:
        return ()
    label = MODALITIES[modality].label
    return (f"The {label} is in color; its overlay shows luminance, which need not rise with activity.",)


def replace_non_finite(image: sitk.Image, role: str) -> tuple[sitk.Image, tuple[str, ...]]:
    """Set voxels that are not finite to the lowest of the others, with a warning.

    A magnitude of `MAX_MAGNITUDE` or more counts as not finite: some programs put the largest number there is outside
    of a body.

    Args:
        image: The volume, scalar or RGB.
        role: What the messages call it, "fixed" or "moving".

    Returns:
        The volume, the same one where all its values are finite, and the warnings.

    Raises:
        FusionError: No voxel is finite, or all have the same value.
    """
    values = sitk.GetArrayViewFromImage(image)
    all_finite, extremes = True, []
    for plane in values:  # plane by plane, to save memory
        finite = np.abs(plane) < MAX_MAGNITUDE
        all_finite = all_finite and bool(finite.all())
        finite_values = plane if all_finite else plane[finite]
        extremes += [finite_values.min(), finite_values.max()] if finite_values.size else []
    if not extremes:
        raise FusionError(f"The {role} volume has no voxel with a finite value; choose another volume.")
    if min(extremes) == max(extremes):
        raise FusionError(f"All voxels of the {role} volume have the same value; choose another volume.")
    if all_finite:
        return image, ()
    finite = np.abs(values) < MAX_MAGNITUDE
    warning = (
        f"{np.count_nonzero(~finite)} voxels of the {role} volume were not finite, or beyond {MAX_MAGNITUDE:.0e}; they "
        "were set to its lowest value."
    )
    replaced = sitk.GetImageFromArray(np.where(finite, values, min(extremes)))
    replaced.CopyInformation(image)
    return replaced, (warning,)


def unwrap_ct(moving: sitk.Image, modality: str) -> tuple[sitk.Image, tuple[str, ...]]:
    """Undo the wrapping of a CT's values to 16 bits, where it is certain, with a warning.

    Args:
        moving: The moving volume, all values finite.
        modality: Of it, as in `Settings`; only a CT is changed.

    Returns:
        The volume, the same one where nothing was wrapped, and the warnings.
    """
    if MODALITIES[modality].window is None or moving.GetNumberOfComponentsPerPixel() > 1:
        return moving, ()
    units = recognize_ct_units(sitk.GetArrayViewFromImage(moving))
    if units is None or not units.wrapped:
        return moving, ()
    unwrapped = sitk.GetImageFromArray(units.unwrap(sitk.GetArrayFromImage(moving)))
    unwrapped.CopyInformation(moving)
    label = MODALITIES[modality].label
    return unwrapped, (
        f"The values of the {label} were wrapped to 16 bits; they were unwrapped, so that its window fits.",
    )
