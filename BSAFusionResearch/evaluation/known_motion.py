"""Move the moving volume by a known motion, so that a registration can be compared with the truth."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import field_from_transform
from BSAFusionLib.pipeline.intensities import head_mask

CONTROL_POINT_DISTANCE_MM = 36.0
"""Distance of the B-splines' control points: on such a lattice, cubic B-splines correlate over about 30 mm."""

MARGIN_MM = 60.0
"""Lattice around the fixed volume, so that the motion is smooth wherever a moved point comes from."""

INVERSION_SPACING_MM = 4.0
"""Spacing that the elastic part is inverted on: so smooth that linear interpolation is exact to 0.1 mm."""

INVERSION_ITERATIONS = 30


@dataclass(frozen=True)
class KnownMotion:
    """A rigid motion after a smooth elastic one: T(x) = R(x + e(x)), fixed point -> moving point, mm, LPS.

    Attributes:
        seed: Chooses directions and the shape of the elastic part; the sizes stay as given.
        degrees: Angle of R, about an axis through the center of the fixed volume.
        mm: Length of R's translation.
        elastic_mm: Largest length of e inside the head of the fixed volume.
    """

    seed: int
    degrees: float
    mm: float
    elastic_mm: float

    def rigid(self, fixed: sitk.Image) -> sitk.VersorRigid3DTransform:
        """Return R alone, fixed point -> moving point."""
        random = np.random.default_rng((self.seed, 0))
        transform = sitk.VersorRigid3DTransform()
        transform.SetCenter(_center(fixed))
        transform.SetRotation(_direction(random), np.radians(self.degrees))
        transform.SetTranslation(self.mm * np.array(_direction(random)))
        return transform

    def elastic(self, fixed: sitk.Image) -> sitk.BSplineTransform:
        """Return x + e(x) alone; it is the identity farther than `MARGIN_MM` outside the fixed volume."""
        random = np.random.default_rng((self.seed, 1))
        corners = np.array(_corners(fixed))
        origin = corners.min(axis=0) - MARGIN_MM
        extent = corners.max(axis=0) + MARGIN_MM - origin
        mesh = np.maximum(1, np.round(extent / CONTROL_POINT_DISTANCE_MM)).astype(int)
        transform = sitk.BSplineTransform(3, 3)
        transform.SetTransformDomainOrigin(origin)
        transform.SetTransformDomainPhysicalDimensions(extent)
        transform.SetTransformDomainMeshSize(mesh.tolist())
        coefficients = random.standard_normal(len(transform.GetParameters()))
        transform.SetParameters(coefficients)
        transform.SetParameters(coefficients * (self.elastic_mm / _lengths(transform, head_mask(fixed)).max()))
        return transform

    def transform(self, fixed: sitk.Image) -> sitk.CompositeTransform:
        """Return T, exact at every point."""
        return sitk.CompositeTransform([self.rigid(fixed), self.elastic(fixed)])  # the last one acts first

    def field(self, fixed: sitk.Image) -> sitk.Image:
        """Return T(x) - x on the fixed grid (float64 vectors, mm, LPS)."""
        return field_from_transform(self.transform(fixed), fixed)

    def save(self, fixed: sitk.Image, path: str) -> None:
        """Write T as a displacement field on the fixed grid; Slicer opens an ITK .h5 file as a grid transform."""
        sitk.WriteTransform(sitk.DisplacementFieldTransform(self.field(fixed)), str(path))

    def move(self, moving: sitk.Image, fixed: sitk.Image) -> sitk.Image:
        """Move a volume that is aligned with the fixed one so that T carries fixed points onto it.

        Args:
            moving: The volume; it keeps its grid, and voxels from outside get its lowest value.
            fixed: The fixed volume.
        """
        corners = np.array(_corners(fixed))
        size = np.ceil((np.ptp(corners, axis=0) + 2 * MARGIN_MM) / INVERSION_SPACING_MM).astype(int)
        around = sitk.Image(size.tolist(), sitk.sitkUInt8)
        around.SetSpacing([INVERSION_SPACING_MM] * 3)
        around.SetOrigin(corners.min(axis=0) - MARGIN_MM)
        elastic = field_from_transform(self.elastic(fixed), around)
        back = sitk.InvertDisplacementField(elastic, INVERSION_ITERATIONS, enforceBoundaryCondition=False)
        inverse = sitk.CompositeTransform([sitk.DisplacementFieldTransform(back), self.rigid(fixed).GetInverse()])
        lowest = float(np.nanmin(sitk.GetArrayViewFromImage(moving)))
        return sitk.Resample(moving, moving, inverse, sitk.sitkLinear, lowest)


def _lengths(transform: sitk.Transform, mask: sitk.Image) -> np.ndarray:
    inside = sitk.GetArrayViewFromImage(mask) > 0
    return np.linalg.norm(sitk.GetArrayFromImage(field_from_transform(transform, mask))[inside], axis=-1)


def _direction(random: np.random.Generator) -> list[float]:
    vector = random.standard_normal(3)
    return (vector / np.linalg.norm(vector)).tolist()


def _center(image: sitk.Image) -> tuple[float, ...]:
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _corners(image: sitk.Image) -> list[tuple[float, ...]]:
    last = [size - 1 for size in image.GetSize()]
    return [
        image.TransformIndexToPhysicalPoint((i, j, k)) for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])
    ]
