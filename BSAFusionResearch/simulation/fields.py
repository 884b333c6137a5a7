"""Smooth random fields: cubic B-spline noise, as scalars, as a displacement and as a diffeomorphic warp."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

SPLINE_ORDER = 3
SQUARINGS = 6
# The mean over all positions of the sum of squared cubic B-splines, which is the integral of their square.
SPLINE_POWER = 151 / 315


def smooth_noise(grid: sitk.Image, node_distance_mm: float, random: np.random.Generator) -> np.ndarray:
    """Draw smooth noise of mean 0 and variance 1 on a grid.

    Args:
        grid: the image whose voxels get a value each.
        node_distance_mm: distance of the B-spline's nodes; the noise correlates over about this length.
        random: generator of the numbers.

    Returns:
        (slice, row, column), float32.
    """
    bases = []
    for size, spacing in zip(grid.GetSize(), grid.GetSpacing(), strict=True):
        cells = max(1, round(size * spacing / node_distance_mm))
        bases.append(spline_basis((np.arange(size) + 0.5) / size * cells + 1, cells + SPLINE_ORDER))
    coefficients = random.standard_normal([basis.shape[1] for basis in reversed(bases)])
    return evaluate_spline(coefficients, bases) / np.float32(SPLINE_POWER**1.5)


def spline_basis(positions: np.ndarray, nodes: int) -> np.ndarray:
    """Evaluate the cubic B-splines of nodes 0, 1, 2, ... at positions in units of the node distance.

    Returns:
        (positions, nodes), float32.
    """
    distance = np.abs(positions[:, None] - np.arange(nodes))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def evaluate_spline(coefficients: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Evaluate a B-spline on a grid whose axes are the lattice's, one axis after another.

    Args:
        coefficients: (nodes along k, along j, along i).
        bases: (voxels, nodes) of the axes i, j and k.

    Returns:
        (slice, row, column), float32.
    """
    values = coefficients.astype(np.float32)
    along_i, along_j, along_k = bases
    return np.tensordot(along_k, np.matmul(along_j, np.matmul(values, along_i.T)), axes=1)


@dataclass(frozen=True)
class SmoothDisplacement:
    """A displacement e(x) as cubic B-spline noise on a lattice; x + e(x) is an ITK transform, exactly.

    coefficients: (3, nodes along k, j, i), mm, LPS.
    origin, spacing, direction: of the lattice's domain, as ITK has it (LPS, mm).
    """

    coefficients: np.ndarray
    origin: np.ndarray
    spacing: np.ndarray
    direction: np.ndarray

    @classmethod
    def draw(
        cls, grid: sitk.Image, node_distance_mm: float, margin_mm: float, random: np.random.Generator
    ) -> "SmoothDisplacement":
        """Draw a displacement of standard normal coefficients on a lattice over `grid` and a margin around it.

        The lattice has the directions of the grid, which makes it fast to evaluate there.
        """
        spacing, size = np.array(grid.GetSpacing()), np.array(grid.GetSize())
        direction = np.array(grid.GetDirection()).reshape(3, 3)
        extent = spacing * (size - 1) + 2 * margin_mm
        cells = np.maximum(1, np.round(extent / node_distance_mm)).astype(int)
        coefficients = random.standard_normal((3, *(cells[::-1] + SPLINE_ORDER)))
        origin = np.array(grid.GetOrigin()) - direction @ np.full(3, margin_mm)
        return cls(coefficients, origin, extent / cells, direction)

    def times(self, factor: float) -> "SmoothDisplacement":
        """Return the displacement multiplied by a number."""
        return SmoothDisplacement(self.coefficients * factor, self.origin, self.spacing, self.direction)

    def on(self, grid: sitk.Image) -> np.ndarray:
        """Evaluate e on a grid with the lattice's directions.

        Returns:
            (slice, row, column, 3), float32, mm, LPS.
        """
        first = self.direction.T @ (np.array(grid.GetOrigin()) - self.origin)
        bases = []
        for axis, (size, spacing) in enumerate(zip(grid.GetSize(), grid.GetSpacing(), strict=True)):
            # ITK puts the first of the nodes one node distance before the domain.
            positions = (first[axis] + spacing * np.arange(size)) / self.spacing[axis] + 1
            bases.append(spline_basis(positions, self.coefficients.shape[3 - axis]))
        return np.stack([evaluate_spline(component, bases) for component in self.coefficients], axis=-1)

    def transform(self) -> sitk.BSplineTransform:
        """Return x -> x + e(x); beyond the lattice's domain it is the identity, as ITK's B-splines are."""
        cells = np.array(self.coefficients.shape[:0:-1]) - SPLINE_ORDER
        transform = sitk.BSplineTransform(3, SPLINE_ORDER)
        transform.SetTransformDomainOrigin(self.origin.tolist())
        transform.SetTransformDomainDirection(self.direction.ravel().tolist())
        transform.SetTransformDomainPhysicalDimensions((self.spacing * cells).tolist())
        transform.SetTransformDomainMeshSize(cells.tolist())
        transform.SetParameters(self.coefficients.ravel().tolist())
        return transform


def exponential(velocity: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Integrate a stationary velocity field to a diffeomorphic displacement, by scaling and squaring.

    Args:
        velocity: (slice, row, column, 3) in mm, components along x, y, z of a grid without rotation.
        spacing: of that grid, (3,) along x, y, z, mm.

    Returns:
        The displacement, likewise (Arsigny et al., MICCAI 2006).
    """
    displacement = velocity / 2**SQUARINGS
    places = np.moveaxis(np.indices(velocity.shape[:3], dtype=float), 0, -1)
    for _ in range(SQUARINGS):
        moved = np.moveaxis(places + (displacement / spacing)[..., ::-1], -1, 0)
        further = [map_coordinates(component, moved, order=1, mode="nearest") for component in unstacked(displacement)]
        displacement = displacement + np.stack(further, axis=-1)
    return displacement


def unstacked(vectors: np.ndarray) -> list[np.ndarray]:
    """Split a field of vectors into its components."""
    return [vectors[..., axis] for axis in range(vectors.shape[-1])]
