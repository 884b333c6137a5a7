"""Builds the anatomy that both scans of a patient show: a labeled head, changed, with lesions, a neck and a torso."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, label

from BSAFusionResearch.simulation.body import Body
from BSAFusionResearch.simulation.fields import smooth_noise
from BSAFusionResearch.simulation.heads import checked_labels
from BSAFusionResearch.simulation.lesions import LESIONS, with_glands
from BSAFusionResearch.simulation.settings import PatientSettings
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, CODES, LESION_CODES
from BSAFusionResearch.simulation.warps import center_of_brain, changed_anatomy

MARGIN_MM = 12.0
FAT_NODES_MM = 14.0
FAT_SHARPNESS = 0.3  # of the border between fat and muscle, in standard deviations of the field that parts them
SUBCUTANEOUS_MM = 4.0


@dataclass(frozen=True)
class Part:
    """One piece of the anatomy on its own upright LPS grid.

    labels: the codes of `tissues`, uint8.
    fat: the share of fat in "fat and muscle", 0 to 1, (slice, row, column), float32.
    """

    labels: sitk.Image
    fat: np.ndarray

    def values(self, table: np.ndarray) -> np.ndarray:
        """Return each voxel's value of a table of values by code, (slice, row, column), float32."""
        codes = sitk.GetArrayViewFromImage(self.labels)
        values = np.asarray(table, np.float32)[codes]
        soft = codes == CODES["fat and muscle"]
        fat, muscle = table[CODES["fat"]], table[CODES["muscle"]]
        values[soft] = muscle + self.fat[soft] * (fat - muscle)
        return values


@dataclass(frozen=True)
class Anatomy:
    """What lies where in a patient, mm, LPS, the same for both scans.

    head: the head with the neck that continues it.
    torso: what lies below, on a coarser grid, if anything does; the head covers it where both are.
    cut_mm: the height z below which nothing is the label file's own.
    """

    head: Part
    torso: Part | None
    cut_mm: float

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order in which they cover one another, the torso first."""
        return (self.head,) if self.torso is None else (self.torso, self.head)

    @property
    def center(self) -> np.ndarray:
        """The centroid of the brain, (3,), mm, LPS."""
        return center_of_brain(self.head.labels)


def build_anatomy(labels: sitk.Image, settings: PatientSettings) -> Anatomy:
    """Build a patient's anatomy from a label map, reproducibly by the settings' seed.

    Args:
        labels: codes 0 to 27 of `tissues` on an upright grid.
        settings: the part that concerns the anatomy: shape, size, atrophy, lesion, hot glands, torso, seed.

    Raises:
        FusionError: the labels are no head.
    """
    random = [np.random.default_rng((settings.seed, 1, stream)) for stream in range(4)]
    labels = _largest_piece(checked_labels(labels))
    body = Body.below(labels)
    head = body.with_neck(labels, MARGIN_MM)
    if settings.shape_mm > 0 or settings.size != 1 or settings.atrophy_mm > 0:
        head = changed_anatomy(head, settings.shape_mm, settings.size, settings.atrophy_mm, random[0])
        body = body.scaled(settings.size, center_of_brain(labels))
    if settings.lesion != "none":
        head = LESIONS[settings.lesion](head, random[1])
    if settings.hot > 0:
        head = with_glands(head)
    fatness = random[2].uniform(-0.5, 0.5)
    torso = body.torso(settings.torso_mm) if settings.torso_mm > 0 else None
    return Anatomy(
        Part(head, _fat_share(head, fatness, random[2])),
        None if torso is None else Part(torso, _fat_share(torso, fatness, random[3])),
        body.cut_mm,
    )


def brain_of(labels: sitk.Image) -> np.ndarray:
    """Return where a label map shows the brain that errors are measured in, lesions included, as a mask."""
    return np.isin(sitk.GetArrayViewFromImage(labels), (*BRAIN_CODES, *LESION_CODES))


def _largest_piece(labels: sitk.Image) -> sitk.Image:
    """Return the labels without the specks around the head that the label files have here and there."""
    values = sitk.GetArrayFromImage(labels)
    pieces, count = label(values > 0)
    if count > 1:
        values[pieces != np.bincount(pieces.ravel())[1:].argmax() + 1] = 0
    cleaned = sitk.GetImageFromArray(values)
    cleaned.CopyInformation(labels)
    return cleaned


def _fat_share(labels: sitk.Image, fatness: float, random: np.random.Generator) -> np.ndarray:
    """Draw the share of fat in the soft tissue: patches of fat and of muscle, and a layer of fat beneath the skin."""
    skin = (sitk.GetArrayViewFromImage(labels) == CODES["skin"]).astype(np.float32)
    sigma = [SUBCUTANEOUS_MM / spacing for spacing in reversed(labels.GetSpacing())]
    beneath_skin = gaussian_filter(skin, sigma, truncate=2.5)
    field = smooth_noise(labels, FAT_NODES_MM, random) + fatness + 5 * beneath_skin - 0.5
    return 1 / (1 + np.exp(-field / FAT_SHARPNESS))
