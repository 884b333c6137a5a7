"""A known motion of the moving volume, so that what a registration finds can be held against the truth."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import field_from_transform
from BSAFusionLib.pipeline.intensities import head_mask

control_point_distance = 36.0  # mm; cubic B-splines on such a lattice correlate over about 30 mm
margin = 60.0  # mm of lattice around the fixed volume, so that the motion is smooth wherever a moved point comes from


@dataclass(frozen=True)
class KnownMotion:
    """A rigid motion after a smooth elastic one: T(x) = R(x + e(x)), fixed point -> moving point, mm, LPS.

    seed: chooses directions and the elastic part's shape; the sizes stay as given.
    degrees: angle of R, about an axis through the middle of the fixed volume.
    mm: length of R's translation.
    elastic_mm: largest length of e inside the head of the fixed volume.
    """

    seed: int
    degrees: float
    mm: float
    elastic_mm: float

    def rigid(self, fixed: sitk.Image) -> sitk.VersorRigid3DTransform:
        """R alone, fixed point -> moving point."""
        random = np.random.default_rng((self.seed, 0))
        transform = sitk.VersorRigid3DTransform()
        transform.SetCenter(_middle(fixed))
        transform.SetRotation(_direction(random), np.radians(self.degrees))
        transform.SetTranslation(self.mm * np.array(_direction(random)))
        return transform

    def elastic(self, fixed: sitk.Image) -> sitk.BSplineTransform:
        """x + e(x) alone; it reaches `margin` mm beyond the fixed volume and is the identity farther out."""
        random = np.random.default_rng((self.seed, 1))
        corners = np.array(_corners(fixed))
        origin = corners.min(axis=0) - margin
        extent = corners.max(axis=0) + margin - origin
        mesh = np.maximum(1, np.round(extent / control_point_distance)).astype(int)
        transform = sitk.BSplineTransform(3, 3)
        transform.SetTransformDomainOrigin(origin)
        transform.SetTransformDomainPhysicalDimensions(extent)
        transform.SetTransformDomainMeshSize(mesh.tolist())
        coefficients = random.standard_normal(len(transform.GetParameters()))
        transform.SetParameters(coefficients)
        transform.SetParameters(coefficients * (self.elastic_mm / _lengths(transform, head_mask(fixed)).max()))
        return transform

    def transform(self, fixed: sitk.Image) -> sitk.CompositeTransform:
        """T, exact at every point."""
        return sitk.CompositeTransform([self.rigid(fixed), self.elastic(fixed)])  # the last one acts first

    def field(self, fixed: sitk.Image) -> sitk.Image:
        """T(x) - x on the fixed grid (float64 vectors, mm, LPS)."""
        return field_from_transform(self.transform(fixed), fixed)

    def save(self, fixed: sitk.Image, path: str) -> None:
        """Write T as one displacement field on the fixed grid; as ITK .h5, Slicer opens it as a grid transform."""
        sitk.WriteTransform(sitk.DisplacementFieldTransform(self.field(fixed)), str(path))

    def move(self, moving: sitk.Image, fixed: sitk.Image) -> sitk.Image:
        """The moving volume, aligned with the fixed one so far, moved so that T carries fixed points onto it.

        It keeps its grid; what comes from outside gets its lowest value.
        """
        corners = np.array(_corners(fixed))
        spacing = 4.0  # mm; e is so smooth that linear interpolation of it on such a grid is exact to 0.1 mm
        size = np.ceil((np.ptp(corners, axis=0) + 2 * margin) / spacing).astype(int)
        around = sitk.Image(size.tolist(), sitk.sitkUInt8)
        around.SetSpacing([spacing] * 3)
        around.SetOrigin(corners.min(axis=0) - margin)
        back = sitk.InvertDisplacementField(
            field_from_transform(self.elastic(fixed), around), 30, enforceBoundaryCondition=False
        )
        inverse = sitk.CompositeTransform([sitk.DisplacementFieldTransform(back), self.rigid(fixed).GetInverse()])
        lowest = float(np.nanmin(sitk.GetArrayViewFromImage(moving)))
        return sitk.Resample(moving, moving, inverse, sitk.sitkLinear, lowest)


def _lengths(transform: sitk.Transform, mask: sitk.Image) -> np.ndarray:
    inside = sitk.GetArrayViewFromImage(mask) > 0
    return np.linalg.norm(sitk.GetArrayFromImage(field_from_transform(transform, mask))[inside], axis=-1)


def _direction(random: np.random.Generator) -> list[float]:
    vector = random.standard_normal(3)
    return (vector / np.linalg.norm(vector)).tolist()


def _middle(image: sitk.Image) -> tuple[float, ...]:
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _corners(image: sitk.Image) -> list[tuple[float, ...]]:
    last = [size - 1 for size in image.GetSize()]
    return [
        image.TransformIndexToPhysicalPoint((i, j, k)) for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])
    ]
