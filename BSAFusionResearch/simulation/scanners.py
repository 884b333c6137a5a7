"""Scanners: their voxels, directions, fields of view, sharpness and noise."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from BSAFusionResearch.simulation.anatomy import Anatomy, brain_of
from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.simulation.tissues import CODES

# The directions of the axes i, j and k as columns, LPS, of slices in each plane.
PLANES = {
    "axial": np.eye(3),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "sagittal": np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]),
}
LARGE_VIEW_MM = 700.0
BODY_HALF_WIDTH_MM, BODY_FRONT_MM, BODY_BACK_MM = 200.0, 190.0, 50.0
POINT_DISTANCE_MM = 5.0


@dataclass(frozen=True)
class Scanner:
    """One scanner and how the patient is laid in it.

    spacing_mm: voxel size along i, j and k.
    plane: the plane of its slices: axial, coronal or sagittal.
    tilt_deg: rotation of its axes against the patient's, as a rotation vector, LPS.
    gantry_deg: shear of the slices along the table, as a tilted CT gantry makes it.
    resolution_mm: full width at half maximum of its point spread.
    noise: standard deviation; of full scale (MRI), HU (CT), of the activity's square root (PET, SPECT).
    margin_mm: space around the head in the field of view.
    """

    spacing_mm: tuple[float, float, float]
    plane: str
    tilt_deg: tuple[float, float, float]
    gantry_deg: float
    resolution_mm: float
    noise: float
    margin_mm: float

    @property
    def direction(self) -> np.ndarray:
        """The directions of the index axes as columns, (3, 3), LPS; sheared by a tilted gantry."""
        upright = PLANES[self.plane]
        if self.gantry_deg:
            upright = Rotation.from_rotvec([self.gantry_deg, 0, 0], degrees=True).as_matrix() @ upright
            upright[:, 2] = PLANES[self.plane][:, 2]
        return Rotation.from_rotvec(self.tilt_deg, degrees=True).as_matrix() @ upright

    def grid_over(self, points: np.ndarray) -> sitk.Image:
        """Return an empty image that holds the points (N, 3), mm, LPS, with the margin around them."""
        direction = self.direction
        along = points @ np.linalg.inv(direction).T
        low, high = along.min(axis=0) - self.margin_mm, along.max(axis=0) + self.margin_mm
        size = np.maximum(np.round((high - low) / self.spacing_mm).astype(int), 4)
        first = (low + high) / 2 - (size - 1) / 2 * np.array(self.spacing_mm)
        grid = sitk.Image(size.tolist(), sitk.sitkUInt8)
        grid.SetSpacing(self.spacing_mm)
        grid.SetDirection(direction.ravel().tolist())
        grid.SetOrigin((direction @ first).tolist())
        return grid


def draw_mri_scanner(settings: PatientSettings, random: np.random.Generator) -> Scanner:
    """Draw an MRI scanner: voxels of about 1 mm, any plane and a slight tilt; thick slices are axial."""
    spacing = random.uniform(0.95, 1.05)
    plane = str(random.choice(list(PLANES), p=(0.3, 0.2, 0.5)))
    if settings.slice_thickness_mm is not None:
        plane = "axial"
    return Scanner(
        spacing_mm=(spacing, spacing, settings.slice_thickness_mm or spacing),
        plane=plane,
        tilt_deg=tuple(random.uniform(-6, 6, 3)),
        gantry_deg=0.0,
        resolution_mm=spacing * settings.blur,
        noise=random.uniform(0.015, 0.035) * settings.noise,
        margin_mm=random.uniform(6, 14),
    )


def draw_moving_scanner(settings: PatientSettings, random: np.random.Generator) -> Scanner:
    """Draw a CT, PET or SPECT scanner: axial slices with the voxels, sharpness and noise of its kind."""
    ranges = {
        # in-plane voxel, slice, resolution (mm), noise, margin (mm)
        "ct": ((0.6, 1.0), (1.0, 2.5), (0.7, 1.5), (4.5, 7.5), (8, 20)),
        "pet": ((1.6, 2.6), (2.0, 3.3), (4.0, 7.0), (0.05, 0.10), (15, 35)),
        "spect": ((3.0, 4.5), (3.0, 4.5), (8.0, 12.0), (0.05, 0.10), (20, 45)),
    }[settings.modality]
    pixel, slices, resolution, noise, margin = (float(random.uniform(*each)) for each in ranges)
    if settings.modality == "spect":
        slices = pixel
    return Scanner(
        spacing_mm=(pixel, pixel, slices),
        plane="axial",
        tilt_deg=tuple(random.uniform(-2, 2, 3)),
        gantry_deg=settings.gantry_deg,
        resolution_mm=resolution * settings.blur,
        noise=noise * settings.noise,
        margin_mm=margin,
    )


def viewed_points(anatomy: Anatomy, view: str, torso_mm: float, random: np.random.Generator) -> np.ndarray:
    """Return points of the anatomy whose bounding box is a field of view, (N, 3), mm, LPS.

    Args:
        anatomy: the patient.
        view: one of `settings.VIEWS`; "corner" is a very large field with the head in its corner.
        torso_mm: how far the field reaches below the cut.
        random: draws the slab's place and the corner.
    """
    labels = anatomy.head.labels
    step = [max(1, round(POINT_DISTANCE_MM / spacing)) for spacing in labels.GetSpacing()]
    thinned = labels[:: step[0], :: step[1], :: step[2]]
    brain = _places(thinned, brain_of(thinned))
    points = _places(thinned, sitk.GetArrayViewFromImage(thinned) != CODES["air"])
    points = points[points[:, 2] > anatomy.cut_mm]
    bottom, top = brain[:, 2].min(), brain[:, 2].max()
    if view == "brain":
        points = points[points[:, 2] > bottom]
    elif view == "slab":
        middle, half = random.uniform(bottom + 45, max(bottom + 46, top - 35)), random.uniform(35, 45)
        points = points[np.abs(points[:, 2] - middle) < half]
    elif view == "no-face":
        points = points[points[:, 1] > brain[:, 1].min() - 4]
    elif view == "corner":
        low, high = points[:, :2].min(axis=0) - 15, points[:, :2].max(axis=0) + 15
        if random.random() < 0.5:
            low = high - LARGE_VIEW_MM
        corners = np.array([[*low, points[:, 2].min()], [*(low + LARGE_VIEW_MM), points[:, 2].max()]])
        points = np.concatenate([points, corners])
    if torso_mm > 0:
        x, y, _ = anatomy.center
        sides = np.array([[x - BODY_HALF_WIDTH_MM, y - BODY_FRONT_MM], [x + BODY_HALF_WIDTH_MM, y + BODY_BACK_MM]])
        body = np.concatenate([sides, np.full((2, 1), anatomy.cut_mm - torso_mm)], axis=1)
        points = np.concatenate([points, body])
    return points


def finer_along_slices(grid: sitk.Image) -> tuple[sitk.Image, int]:
    """Return a grid that cuts thick slices into thin ones, and into how many; their mean is the thick slice."""
    spacing = np.array(grid.GetSpacing())
    parts = max(1, round(spacing[2] / max(1.0, spacing[0])))
    if parts == 1:
        return grid, 1
    direction = np.array(grid.GetDirection()).reshape(3, 3)
    thin = spacing[2] / parts
    fine = sitk.Image([*grid.GetSize()[:2], grid.GetSize()[2] * parts], sitk.sitkUInt8)
    fine.SetSpacing([*spacing[:2], thin])
    fine.SetDirection(grid.GetDirection())
    fine.SetOrigin((np.array(grid.GetOrigin()) - direction[:, 2] * thin * (parts - 1) / 2).tolist())
    return fine, parts


def _places(labels: sitk.Image, mask: np.ndarray) -> np.ndarray:
    """Return where the voxels of a mask lie on an upright grid, (N, 3), mm, LPS."""
    return np.argwhere(mask)[:, ::-1] * labels.GetSpacing() + labels.GetOrigin()
