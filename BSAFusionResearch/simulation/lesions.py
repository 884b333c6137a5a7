"""Paints lesions into the labels of a head: a tumor with edema, an old infarct, a craniotomy; and hot glands."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionResearch.simulation.fields import smooth_noise
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, CODES
from BSAFusionResearch.simulation.warps import center_of_brain, displaced_by_mass

KERF_MM = 2.5  # half the width of the gap that the saw leaves
BORDER_NODES_MM = 12.0  # how smooth the borders of lesions are
BORDER_MM = 2.0
CEREBRUM = (1, 2, 5, 6, 7, 8, 9, 10, 11, 16)
WHITE_MATTER, CORTEX = CODES["cerebral white matter"], CODES["cerebral cortex"]
BONE = (CODES["cortical bone"], CODES["marrow"])


def with_tumor(labels: sitk.Image, random: np.random.Generator) -> sitk.Image:
    """Grow a tumor of 20 to 44 mm with a necrotic core in the white matter, which displaces the brain; edema around."""
    radius, spread = random.uniform(10, 22), random.uniform(6, 18)
    center = _random_point(labels, (WHITE_MATTER,), random)
    labels = displaced_by_mass(labels, center, radius, 0.45 * radius)
    region = _Region.around(labels, center, radius + 2 * spread)
    distance = region.distance + region.noise(random) * BORDER_MM
    reach = radius + spread * np.clip(1 + 0.6 * region.noise(random, 30.0), 0.1, 2)
    brain = np.isin(region.values, BRAIN_CODES)
    region.values[brain & np.isin(region.values, (WHITE_MATTER, 16)) & (distance < reach)] = CODES["edema"]
    grown = brain | (region.values == CODES["cerebrospinal fluid"])  # into the sulci, too
    region.values[grown & (distance < radius)] = CODES["tumor"]
    region.values[grown & (distance < random.uniform(0.5, 0.75) * radius)] = CODES["necrosis"]
    return region.image()


def with_infarct(labels: sitk.Image, random: np.random.Generator) -> sitk.Image:
    """Replace a territory at the brain's surface by fluid, as an old infarct does, with gliosis at its border."""
    radius = random.uniform(18, 32)
    region = _Region.around(labels, _random_point(labels, (CORTEX,), random), radius + 8)
    distance = region.distance + region.noise(random, 20.0) * 2 * BORDER_MM
    cerebrum = np.isin(region.values, CEREBRUM)
    region.values[cerebrum & (distance < radius)] = CODES["gliosis"]
    region.values[cerebrum & (distance < radius - 3)] = CODES["infarct"]
    return region.image()


def with_craniotomy(labels: sitk.Image, random: np.random.Generator) -> sitk.Image:
    """Saw a flap of 50 to 80 mm out of the skull, put it back with plates or leave it out; a cavity below, with air."""
    radius, cavity, flap_is_back = random.uniform(25, 40), random.uniform(9, 17), random.random() < 0.7
    side, forward, up = random.choice((-1.0, 1.0)), random.uniform(-0.8, 0.8), random.uniform(0.3, 1.0)
    outward = np.array([side, forward, up]) / np.linalg.norm([side, forward, up])
    region = _Region.around(labels, center_of_brain(labels), np.inf)
    along = region.offsets @ outward
    beside = np.sqrt(np.maximum(region.distance**2 - along**2, 0))
    bone = np.isin(region.values, BONE) & (along > 0)
    middle = along[bone & (beside < 6)]
    if middle.size == 0:  # a head without a skull there
        return labels
    ring = bone & (np.abs(beside - radius) < KERF_MM)
    if flap_is_back:
        top = along[ring].max() if ring.any() else 0
        across = np.cross(outward, [0.0, 0.0, 1.0])
        angle = np.arctan2(region.offsets @ across, region.offsets @ np.cross(across, outward))
        plates = ring & (np.abs((angle + np.pi) % (2 * np.pi / 3) - np.pi / 3) < 4 / radius) & (along > top - 25)
    else:
        ring, plates = bone & (beside < radius + KERF_MM), np.zeros_like(ring)
    region.values[ring] = CODES["scar"]
    region.values[plates] = CODES["metal"]

    below = np.sqrt(beside**2 + (along - (middle.min() - 0.8 * cavity)) ** 2) + region.noise(random) * BORDER_MM
    brain = np.isin(region.values, BRAIN_CODES)
    region.values[brain & (below < cavity + 2.5)] = CODES["gliosis"]
    hollow = brain & (below < cavity)
    region.values[hollow] = CODES["cerebrospinal fluid"]
    if random.random() < 0.5 and hollow.any():  # air rises to the front of a patient who lies on the back
        y = region.offsets[..., 1]
        region.values[hollow & (y < np.quantile(y[hollow], 0.2))] = CODES["air"]
    return region.image()


LESIONS = {"tumor": with_tumor, "infarct": with_infarct, "craniotomy": with_craniotomy}


def with_glands(labels: sitk.Image) -> sitk.Image:
    """Paint the parotid and lacrimal glands into the soft tissue beside the jaw and above the eyes."""
    region = _Region.around(labels, center_of_brain(labels), np.inf)
    brain = np.isin(region.values, BRAIN_CODES)
    levels, rows, columns = np.nonzero(brain)
    spacing = np.array(labels.GetSpacing())
    half_width, half_length = np.ptp(columns) * spacing[0] / 2, np.ptp(rows) * spacing[1] / 2
    bottom = (levels.min() * spacing[2] + labels.GetOrigin()[2]) - region.center[2]
    soft = region.values == CODES["fat and muscle"]
    for side in (-1, 1):
        parotid = (side * 0.9 * half_width, 0.05 * half_length, bottom - 5)
        lacrimal = (side * 0.6 * half_width, -0.95 * half_length, 0.25 * bottom)
        for place, half_axes in ((parotid, (14, 17, 26)), (lacrimal, (9, 9, 7))):
            inside = (((region.offsets - place) / half_axes) ** 2).sum(axis=-1) < 1
            region.values[soft & inside] = CODES["gland"]
    return region.image()


@dataclass
class _Region:
    """A box of a label map that a lesion is painted in.

    values: the codes, changed in place. offsets: from the center, mm, LPS, (slice, row, column, 3).
    """

    labels: sitk.Image
    box: tuple[slice, ...]
    center: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def around(cls, labels: sitk.Image, center: np.ndarray, radius_mm: float) -> "_Region":
        """Cut out the box around a ball; the whole grid for an infinite radius."""
        origin, spacing, size = (np.array(each) for each in (labels.GetOrigin(), labels.GetSpacing(), labels.GetSize()))
        low = np.clip(np.floor((center - radius_mm - origin) / spacing), 0, size - 1).astype(int)
        high = np.clip(np.ceil((center + radius_mm - origin) / spacing), 0, size - 1).astype(int) + 1
        box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
        along = [
            (origin[axis] + spacing[axis] * np.arange(low[axis], high[axis]) - center[axis]).astype(np.float32)
            for axis in range(3)
        ]
        offsets = np.stack(np.meshgrid(*along[::-1], indexing="ij")[::-1], axis=-1)
        return cls(labels, box, center, sitk.GetArrayFromImage(labels)[box], offsets)

    @property
    def distance(self) -> np.ndarray:
        return np.linalg.norm(self.offsets, axis=-1)

    def noise(self, random: np.random.Generator, node_distance_mm: float = BORDER_NODES_MM) -> np.ndarray:
        """Draw smooth noise of variance 1 over the box."""
        grid = sitk.Image(self.values.shape[::-1], sitk.sitkUInt8)
        grid.SetSpacing(self.labels.GetSpacing())
        return smooth_noise(grid, node_distance_mm, random)

    def image(self) -> sitk.Image:
        """Return the whole label map with the box painted."""
        values = sitk.GetArrayFromImage(self.labels)
        values[self.box] = self.values
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(self.labels)
        return image


def _random_point(labels: sitk.Image, codes: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return where a voxel of some codes lies, chosen at random: (3,), mm, LPS; the brain's center if there is none."""
    places = np.argwhere(np.isin(sitk.GetArrayViewFromImage(labels), codes))
    if len(places) == 0:
        return center_of_brain(labels)
    index = places[random.integers(len(places))][::-1]
    return np.array(labels.TransformIndexToPhysicalPoint(index.tolist()))
