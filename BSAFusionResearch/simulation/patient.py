"""Simulates one patient: an MRI, a CT, PET or SPECT, and the exact transform between them."""

from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from BSAFusionLib.geometry.fields import field_from_transform
from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.geometry.rigid import rigid_through
from BSAFusionResearch.simulation.anatomy import Anatomy, brain_of, build_anatomy
from BSAFusionResearch.simulation.appearance import moving_values, mri_values
from BSAFusionResearch.simulation.fields import SmoothDisplacement
from BSAFusionResearch.simulation.scanners import Scanner, draw_moving_scanner, draw_mri_scanner, viewed_points
from BSAFusionResearch.simulation.scans import (
    Sampler,
    as_ct,
    as_emission,
    as_mri,
    labels_on,
    scanned,
    through_displacement,
    through_rigid,
)
from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, CODES, LESION_CODES

ELASTIC_NODES_MM = 31.0
ELASTIC_MARGIN_MM = 62.0
MEASURED_SPACING_MM = 3.0
FACE_SLOPE = 0.35  # a defaced head lacks what lies in front of a plane through the eyes, which slopes by this


@dataclass(frozen=True)
class Patient:
    """One simulated patient; everything in mm, LPS.

    fixed: the MRI. moving: the CT, PET or SPECT.
    truth: fixed point -> moving point: the elastic part first (a B-spline), then the rigid one.
    labels: the tissue codes on the fixed grid, uint8.
    settings: what was asked for.
    drawn: what was drawn by the seed: scanners, variation, bias.
    """

    fixed: sitk.Image
    moving: sitk.Image
    truth: sitk.CompositeTransform
    labels: sitk.Image
    settings: PatientSettings
    drawn: dict


def simulate_patient(
    labels: sitk.Image,
    settings: PatientSettings,
    fixed_scanner: Scanner | None = None,
    moving_scanner: Scanner | None = None,
) -> Patient:
    """Simulate one patient from a labeled head, reproducibly by the settings' seed.

    Args:
        labels: codes 0 to 27 of `tissues` on an upright grid.
        settings: the patient's choices.
        fixed_scanner: the MRI's, where it is not to be drawn.
        moving_scanner: the other one's.

    Raises:
        FusionError: the labels are no head.
    """
    return scan_patient(build_anatomy(labels, settings), settings, fixed_scanner, moving_scanner)


def scan_patient(
    anatomy: Anatomy,
    settings: PatientSettings,
    fixed_scanner: Scanner | None = None,
    moving_scanner: Scanner | None = None,
) -> Patient:
    """Scan an anatomy twice, with a known motion in between.

    The truth is exact by construction, without any inverse: with R the rigid motion and e the smooth displacement, the
    anatomy lies in the moving scan as moved by R, so a moving point y shows the anatomy at R^-1(y), and a fixed point x
    shows it at x + e(x). Both show the same place where y = R(x + e(x)), which is the truth. R^-1 of a rigid motion
    and e of a B-spline are closed forms.

    Args:
        anatomy: from `build_anatomy`; one anatomy can be scanned many times.
        settings: the patient's choices.
        fixed_scanner: the MRI's, where it is not to be drawn.
        moving_scanner: the other one's.
    """
    motion, fixed_random, moving_random = (np.random.default_rng((settings.seed, 2, stream)) for stream in range(3))
    rigid = _rigid(anatomy, settings, motion)
    drawn_scanner = draw_mri_scanner(settings, fixed_random)
    scanner = fixed_scanner or drawn_scanner
    fixed_grid = scanner.grid_over(viewed_points(anatomy, settings.fixed_view, 0, fixed_random))
    elastic = _elastic(fixed_grid, settings.elastic_mm, motion)
    to_anatomy = through_displacement(elastic.on) if settings.elastic_mm > 0 else through_rigid(sitk.Transform())

    labels = labels_on(anatomy, fixed_grid, to_anatomy)
    variation = settings.variation * fixed_random.uniform(0.05, 0.10)
    bias = fixed_random.uniform(0.1, 0.2) if settings.bias is None else settings.bias
    table = mri_values(settings, fixed_random)
    signal = scanned(anatomy, table, variation, scanner.resolution_mm, fixed_grid, to_anatomy, fixed_random)
    values = as_mri(signal, fixed_grid, bias, settings.coil, scanner.noise, fixed_random)
    if settings.removed != "nothing":
        values[_removed(anatomy, labels, settings.removed, to_anatomy)] = 0
    fixed = _image(values, fixed_grid)

    drawn = {"fixed_scanner": asdict(scanner), "fixed_variation": variation, "bias": bias}
    moving, more = _moving(anatomy, settings, moving_scanner, rigid, moving_random)
    truth = sitk.CompositeTransform([rigid, elastic.transform()])  # the last one acts first
    return Patient(fixed, moving, truth, labels, settings, drawn | more)


def brain_mask(patient: Patient) -> sitk.Image:
    """Return the brain of a patient on a grid of 3 mm over the fixed volume, where errors are measured, uint8."""
    labels = patient.labels
    spacing, size = np.array(labels.GetSpacing()), np.array(labels.GetSize())
    grid = sitk.Image(np.ceil(size * spacing / MEASURED_SPACING_MM).astype(int).tolist(), sitk.sitkUInt8)
    grid.SetSpacing([MEASURED_SPACING_MM] * 3)
    grid.SetOrigin(labels.GetOrigin())
    grid.SetDirection(labels.GetDirection())
    coarse = sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return _image(brain_of(coarse).astype(np.uint8), coarse)


def best_rigid(truth: sitk.Transform, mask: sitk.Image) -> sitk.Euler3DTransform:
    """Fit the rigid motion nearest to a transform over a mask, by least squares: the best that is possible.

    Args:
        truth: fixed point -> moving point, mm, LPS.
        mask: the voxels that count, as from `brain_mask`.

    Returns:
        fixed point -> moving point (Kabsch, Acta Crystallographica 1976).
    """
    inside = sitk.GetArrayViewFromImage(mask) > 0
    points = voxel_centers(mask)[inside]
    field = field_from_transform(truth, mask)
    moved = points + sitk.GetArrayViewFromImage(field)[inside]
    return rigid_through(points, moved)


def _moving(
    anatomy: Anatomy,
    settings: PatientSettings,
    scanner: Scanner | None,
    rigid: sitk.VersorRigid3DTransform,
    random: np.random.Generator,
) -> tuple[sitk.Image, dict]:
    """Return the moving scan and what was drawn for it."""
    drawn_scanner = draw_moving_scanner(settings, random)
    scanner = scanner or drawn_scanner
    points = viewed_points(anatomy, settings.moving_view, settings.torso_mm, random)
    turn = np.array(rigid.GetMatrix()).reshape(3, 3)
    grid = scanner.grid_over((points - rigid.GetCenter()) @ turn.T + rigid.GetCenter() + rigid.GetTranslation())
    variation = settings.variation * random.uniform(0.05, 0.10)
    if settings.column == "tau":  # it gathers in some regions and spares others
        variation *= 4
    table = moving_values(settings, random)
    to_anatomy = through_rigid(rigid.GetInverse())
    signal = scanned(anatomy, table, variation, scanner.resolution_mm, grid, to_anatomy, random)
    if settings.modality == "ct":
        values = as_ct(signal, scanner.noise, random)
    else:
        values = as_emission(signal, grid, scanner.resolution_mm, scanner.noise, random)
    return _image(values, grid), {"moving_scanner": asdict(scanner), "moving_variation": variation}


def _rigid(anatomy: Anatomy, settings: PatientSettings, random: np.random.Generator) -> sitk.VersorRigid3DTransform:
    """Draw the rigid motion, about the brain's center: anatomy point -> moving point."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in random.standard_normal((2, 3)))
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(anatomy.center.tolist())
    transform.SetRotation(axis.tolist(), np.radians(settings.rotation_deg))
    transform.SetTranslation((settings.translation_mm * direction).tolist())
    return transform


def _elastic(grid: sitk.Image, longest_mm: float, random: np.random.Generator) -> SmoothDisplacement:
    """Draw the smooth displacement, scaled to its largest length in the fixed scan's field of view."""
    drawn = SmoothDisplacement.draw(grid, ELASTIC_NODES_MM, ELASTIC_MARGIN_MM, random)
    step = [max(1, round(MEASURED_SPACING_MM / spacing)) for spacing in grid.GetSpacing()]
    coarse = grid[:: step[0], :: step[1], :: step[2]]
    return drawn.times(longest_mm / np.linalg.norm(drawn.on(coarse), axis=-1).max())


def _removed(anatomy: Anatomy, labels: sitk.Image, what: str, to_anatomy: Sampler) -> np.ndarray:
    """Return where skull stripping or defacing leaves nothing, (slice, row, column), bool."""
    codes = sitk.GetArrayViewFromImage(labels)
    if what == "skull":
        kept = np.isin(codes, (*BRAIN_CODES, *LESION_CODES))
        sigma = [2.0 / spacing for spacing in reversed(labels.GetSpacing())]
        return gaussian_filter(kept.astype(np.float32), sigma) < 0.35
    whole = sitk.GetArrayViewFromImage(anatomy.head.labels)
    eyes = np.argwhere(whole == CODES["eye"])[:, ::-1]
    brain = np.argwhere(brain_of(anatomy.head.labels))[:, ::-1]
    spacing, origin = anatomy.head.labels.GetSpacing(), anatomy.head.labels.GetOrigin()
    # Without eyes, their place is about the lower front of the brain.
    front = eyes.mean(axis=0) if len(eyes) else np.array([brain[:, 0].mean(), brain[:, 1].min(), brain[:, 2].mean()])
    _, y, z = front * spacing + origin
    points = voxel_centers(anatomy.head.labels)
    mask = ((y - points[..., 1]) + FACE_SLOPE * (z - points[..., 2]) > 0) & ~brain_of(anatomy.head.labels)
    face = _image(mask.astype(np.uint8), anatomy.head.labels)
    on_grid = sitk.GetArrayFromImage(to_anatomy(face, labels, sitk.sitkNearestNeighbor, 0))
    return (on_grid > 0) & ~brain_of(labels)


def _image(values: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(grid)
    return image
