"""The planes of a result that its report shows, sampled from the volumes."""

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.color_maps import DEFAULT
from BSAFusionLib.geometry.fields import field_from_transform, jacobian_determinant
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.ct_units import recognize_ct_units
from BSAFusionLib.pipeline.guess import looks_hounsfield
from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS, measure_intensities
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.report.overlay import BONE_HU, LUMINANCE, RELATIVE, choose_window
from BSAFusionLib.report.pictures import Pictures, Plane

HEAD_PX = 220  # the longest side of the head, in a picture
MARGIN_MM = 8.0  # around the head
HISTOGRAM_VOXELS = 200_000  # at most, for the histograms of displacements
LPS_AXES = {"Axial": 2, "Coronal": 1, "Sagittal": 0}  # the axis of LPS across each plane


def sample_pictures(fixed: sitk.Image, moving: sitk.Image, result: Result, color_map: str = DEFAULT) -> Pictures:
    """Sample what the pictures of a report are drawn from; a few hundred kB, however large the volumes are.

    Args:
        fixed: The MRI.
        moving: The moving volume as it was placed, every value finite.
        result: Their registration.
        color_map: Of the overlay, a name in `COLOR_MAPS`.

    Returns:
        An axial, a coronal and a sagittal plane through the middle of the head, and lengths of displacements in it.
    """
    head = result.head
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(head)
    first, size = np.split(np.array(shape.GetBoundingBox(1)), 2)
    corners = np.array(np.meshgrid(*np.stack([first - 0.5, first + size - 0.5], axis=1))).reshape(3, -1).T
    points = np.array([head.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners.tolist()])
    lowest, highest = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    planes = [
        _plane(name, _slab(lowest, highest, shape.GetCentroid(1), axis), fixed, moving, result, head)
        for name, axis in LPS_AXES.items()
    ]
    step = max(1, round((np.prod(size) / HISTOGRAM_VOXELS) ** (1 / 3)))
    thinned_head = head[::step, ::step, ::step]
    inside = sitk.GetArrayFromImage(thinned_head) > 0
    fields = field_from_transform(result.transform(), thinned_head), sitk.Resample(result.network_field, thinned_head)
    in_head = gray_values(sitk.Resample(result.registered, thinned_head))[inside]
    return Pictures(
        tuple(planes),
        *(np.linalg.norm(sitk.GetArrayFromImage(field)[inside], axis=-1).astype(np.float32) for field in fields),
        choose_window(in_head, *shown_from(moving, result.report.modality), color_map),
    )


def gray_values(image: sitk.Image) -> np.ndarray:
    """Return the values of an image, of one in color its luminance, float (slice, row, column)."""
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    return values @ LUMINANCE_WEIGHTS if values.ndim == 4 else values


def shown_from(moving: sitk.Image, modality: str) -> tuple[float, str]:
    """Return the value below which an overlay shows nothing, of a CT what is no bone, and the values' unit."""
    if moving.GetNumberOfComponentsPerPixel() > 1:
        return 0.0, LUMINANCE
    if MODALITIES[modality].window is None:
        return 0.0, RELATIVE
    values = sitk.GetArrayViewFromImage(moving)
    units = recognize_ct_units(values)
    if units is not None and units.offset:
        return BONE_HU + units.offset, f"HU {units.offset:+d}"
    if units is not None or looks_hounsfield(values):
        return BONE_HU, "HU"
    return measure_intensities(moving, modality)[0].high, RELATIVE


def _slab(lowest: np.ndarray, highest: np.ndarray, center: tuple[float, float, float], axis: int) -> sitk.Image:
    """Return an empty grid three voxels thick, along the axes of LPS, about a plane through the center."""
    spacing = float(max(highest - lowest)) / HEAD_PX
    size, origin = np.ceil((highest - lowest) / spacing).astype(int), lowest.copy()
    size[axis], origin[axis] = 3, center[axis] - spacing
    slab = sitk.Image(size.tolist(), sitk.sitkUInt8)
    slab.SetSpacing([spacing] * 3)
    slab.SetOrigin(origin.tolist())
    return slab


def _plane(
    name: str, slab: sitk.Image, fixed: sitk.Image, moving: sitk.Image, result: Result, head: sitk.Image
) -> Plane:
    axis = LPS_AXES[name]
    plane = slab[tuple(slice(1, 2) if each == axis else slice(None) for each in range(3))]

    def middle(image: sitk.Image) -> np.ndarray:
        array = sitk.GetArrayFromImage(image)
        return np.take(array, array.shape[2 - axis] // 2, axis=2 - axis)

    def values(image: sitk.Image, transform: sitk.Transform) -> np.ndarray:
        in_color = image.GetNumberOfComponentsPerPixel() > 1
        kind = sitk.sitkVectorFloat32 if in_color else sitk.sitkFloat32
        return middle(sitk.Resample(image, plane, transform, sitk.sitkLinear, float("nan"), kind))

    def gray(image: sitk.Image, transform: sitk.Transform) -> np.ndarray:
        sampled = values(image, transform)
        return sampled @ LUMINANCE_WEIGHTS if sampled.ndim == 3 else sampled

    identity = sitk.Transform(3, sitk.sitkIdentity)
    total = result.transform()
    fused = values(result.fused, identity)
    network = middle(sitk.Resample(result.network_field, plane))
    points = middle(
        sitk.PhysicalPointSource(sitk.sitkVectorFloat64, plane.GetSize(), plane.GetOrigin(), plane.GetSpacing())
    )
    in_plane = [other for other in range(3) if other != axis]  # the axes of the columns and of the rows
    return Plane(
        name,
        gray(fixed, identity),
        gray(moving, identity),
        gray(moving, total),
        (fused / 255 if fused.ndim == 3 else fused).astype(np.float32),
        np.moveaxis((points + network)[..., in_plane], -1, 0).astype(np.float32),
        np.linalg.norm(network, axis=-1).astype(np.float32),
        middle(jacobian_determinant(field_from_transform(total, slab))),
        np.where(middle(sitk.Resample(head, plane)) > 0, middle(_expected_error(result, plane)), np.nan),
    )


def _expected_error(result: Result, grid: sitk.Image) -> sitk.Image:
    """Return the expected error on a grid, NaN where it is not known."""
    if result.expected_error is None:
        return sitk.Cast(grid, sitk.sitkFloat32) + float("nan")
    return sitk.Resample(result.expected_error, grid, sitk.Transform(), sitk.sitkLinear, float("nan"))
