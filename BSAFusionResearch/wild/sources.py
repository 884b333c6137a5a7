"""What wild inputs are made from: the given files, the templates, and simulated patients."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.geometry.grids import voxel_centers
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionResearch.simulation.heads import head_files, read_head
from BSAFusionResearch.simulation.patient import Patient, brain_mask, simulate_patient
from BSAFusionResearch.simulation.scanners import Scanner
from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.wild.cases import Truth

FIXED_SCANNER = Scanner((1.5, 1.5, 1.5), "sagittal", (3.0, -4.0, 2.0), 0.0, 1.5, 0.025, 10.0)
BODY_SCANNERS = {
    "ct": Scanner((1.5, 1.5, 3.0), "axial", (0.0, 0.0, 0.0), 0.0, 1.5, 6.0, 12.0),
    "pet": Scanner((4.0, 4.0, 4.0), "axial", (0.0, 0.0, 0.0), 0.0, 6.0, 0.07, 20.0),
}
"""Scanners whose voxels are as coarse as those of long fields of view; an MRI of 1.5 mm is enough to be found."""


class Sources:
    """Reads the given cases and the templates, and simulates patients.

    Attributes:
        wild: The folder of given cases, a folder a kind.
    """

    def __init__(self, wild: Path) -> None:
        """Check the folders.

        Args:
            wild: Beside it lies the folder data, with volumes and heads.

        Raises:
            FusionError: One of the folders is missing.
        """
        self.wild = wild
        self._data = wild.absolute().parent / "data"
        for folder in (wild, self._data / "volumes", self._data / "heads"):
            if not folder.is_dir():
                raise FusionError(f"There is no folder {folder}; name the folder of wild cases, with data beside it.")

    def template_path(self, name: str) -> Path:
        """Return the file of a template: mri_t1, ct or pet."""
        return self._data / "volumes" / f"{name}.nii.gz"

    @lru_cache(3)  # noqa: B019  (there is one of these a process)
    def template(self, name: str) -> sitk.Image:
        """Return a template as it is; all lie on one grid."""
        return read_volume(self.template_path(name))

    def template_truth(
        self, modality: str, motion: sitk.Transform | None = None, placed: sitk.Image | None = None
    ) -> Truth:
        """Return the truth of a template that was carried by a motion, by default by none."""
        motion = motion or sitk.Transform(3, sitk.sitkIdentity)
        return Truth(motion, head_mask(self.template("mri_t1")), placed, modality)

    @lru_cache(1)  # noqa: B019
    def _patient(self, head: str, settings: PatientSettings) -> Patient:
        scanner = BODY_SCANNERS[settings.modality] if settings.torso_mm else None
        labels = read_head(head_files(self._data / "heads", (head,))[0])
        return simulate_patient(labels, settings, FIXED_SCANNER, scanner)

    def patient(self, head: str, modality: str, **settings: Any) -> Patient:
        """Simulate a patient without deformation, so that the truth is rigid.

        Args:
            head: Number of the labeled head, such as "13".
            modality: Of the moving scan.
            **settings: Other fields of `PatientSettings`.
        """
        chosen = {"seed": int(head), "elastic_mm": 0.0, **settings}
        return self._patient(head, PatientSettings(modality, **chosen))

    def patient_truth(
        self, patient: Patient, motion: sitk.Transform | None = None, placed: sitk.Image | None = None
    ) -> Truth:
        """Return the truth of a patient whose moving scan was carried on by a motion."""
        whole = sitk.CompositeTransform([motion or sitk.Transform(3, sitk.sitkIdentity), patient.truth])
        return Truth(whole, brain_mask(patient), placed)


def rigid(
    degrees: tuple[float, float, float],
    mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    center: tuple[float, float, float] = (0.0, -17.0, 18.0),
) -> sitk.Euler3DTransform:
    """Return a rigid motion by angles about x, y and z, mm, LPS; the default center is that of the templates' brain."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(center)
    transform.SetRotation(*np.radians(degrees).tolist())
    transform.SetTranslation(mm)
    return transform


def carried(image: sitk.Image, motion: sitk.Euler3DTransform) -> sitk.Image:
    """Return an image whose header carries it by a rigid motion; its voxels stay as they are."""
    result = sitk.Image(image)
    matrix = np.reshape(motion.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    result.SetDirection(matrix.ravel().tolist())
    result.SetOrigin(motion.TransformPoint(image.GetOrigin()))
    return result


def without_geometry(image: sitk.Image) -> sitk.Image:
    """Return the voxels on a grid whose first one lies at the origin, along x, y and z; the spacing stays."""
    result = sitk.Image(image)
    result.SetOrigin((0.0, 0.0, 0.0))
    result.SetDirection(np.eye(3).ravel().tolist())
    return result


def with_ramp(image: sitk.Image, ratio: float, toward: tuple[float, float, float]) -> sitk.Image:
    """Multiply an image by an exponential ramp, as a coil on one side makes it.

    Args:
        image: Values of 0 or more.
        ratio: The largest factor over the least one.
        toward: Direction of the larger one, LPS.
    """
    points = voxel_centers(image)
    along = points @ (np.array(toward) / np.linalg.norm(toward))
    factor = np.exp(np.log(ratio) * ((along - along.min()) / np.ptp(along) - 1)).astype(np.float32)
    return _like(sitk.GetArrayFromImage(image) * factor, image)


def with_hot_ball(image: sitk.Image, center: tuple[float, float, float], ml: float, times: float) -> sitk.Image:
    """Add a smooth ball far hotter than the brain.

    Args:
        image: A PET or SPECT.
        center: Of the ball, mm, LPS.
        ml: Its volume.
        times: Its activity over the image's 99th percentile.
    """
    points = voxel_centers(image)
    radius = (3000 * ml / (4 * np.pi)) ** (1 / 3)
    distance = np.linalg.norm(points - np.array(center), axis=-1)
    values = sitk.GetArrayFromImage(image)
    hot = times * np.percentile(values, 99) / (1 + np.exp(np.minimum((distance - radius) / 1.5, 50)))
    return _like((values + hot).astype(np.float32), image)


def noise_like(image: sitk.Image, seed: int, sigma_mm: float = 0.0) -> sitk.Image:
    """Return noise on the grid of an image, smooth where a width is given."""
    random = np.random.default_rng(seed)
    result = _like(random.uniform(0, 100, image.GetSize()[::-1]).astype(np.float32), image)
    return sitk.SmoothingRecursiveGaussian(result, sigma_mm) if sigma_mm else result


def _like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result
