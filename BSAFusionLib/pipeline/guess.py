"""Guess a volume's modality, or that it holds labels, from its voxels; needs numpy only, so a panel may ask at once."""

from typing import NamedTuple

import numpy as np

from BSAFusionLib.modalities import MODALITIES

SAMPLE_VOXELS = 1e6
MOST_LABELS = 5000  # FreeSurfer's codes of a parcellation are some hundreds, the largest 14,175
MOST_SURE_LABELS, FEW_LABELS = 300, 12
FEWEST_SHADES = 5  # a scan has more, while tissues 1, 2 and 3 lie around each other as shades do
SURELY_SAME_AS_NEXT = 0.8  # of the voxels outside the background, in labels alone
NEXT_SHADE = 0.5  # share of the changes by one, in a scan of few shades
ALIKE_FACES = 0.3  # of a label's voxels: 0.5 in a cube of 2 x 2 x 2; of a scan's value 0.1, or its changes are by one
SPARSE = 0.002  # share of the volume; any scan of a head fills more
WIDEST_COUNTED = 1 << 20  # range of values that are counted one by one
MOST_CONTACTS = 0.1  # of unlike voxels for each voxel, among sparse labels
LEAST_PADDING, MOST_MIXED = 0.005, 0.05  # share of the voxels that are padding, and of the others half-way up to them
BACKGROUND_SHARE = 0.25  # of the voxels of a scan of a head, at least, around it
BACKGROUND_LEVEL = 0.2  # up to which that reaches, from the scan's dark voxels to its bright ones
FAT_HU, FAT_SHARE = (-200.0, -20.0), 0.01  # in a CT, of what is not air; also the edge between skin and air
TISSUE_HU, TISSUE_SHARE = (15.0, 70.0), 0.25  # the median soft tissue of a CT without its air; of what it shows
SOFT_HU, MOST_BELOW_WATER = (-200.0, 300.0), 1 / 3  # of the soft tissue of a head; of noise around zero it is half
BONE_HU, BONE_SHARE = 200.0, 0.005
AIR_HU = -200  # every CT shows air, and only in Hounsfield units is that far below zero


def finite_sample(voxels: np.ndarray) -> np.ndarray:
    """Return a scalar volume's finite values, of a large volume about a million evenly spread ones."""
    step = max(1, round((voxels.size / SAMPLE_VOXELS) ** (1 / 3)))
    values: np.ndarray = voxels[::step, ::step, ::step].ravel()
    finite: np.ndarray = values[np.isfinite(values)]
    return finite


def without_fill(values: np.ndarray) -> np.ndarray:
    """Leave out the constant below zero that a program put around a scan, as by resampling it onto the grid of a CT.

    Padding lies below a gap. The air of a CT, also where it is one constant, is no padding: what remains shows fat and
    bone, or has no background and most of its soft tissue where it lies in Hounsfield units.

    Args:
        values: Finite, of a sample of voxels (n,).

    Returns:
        The same array where there is no padding. Around a scan without a background of its own, such as a brain alone,
        the padding becomes its background: 0, or a dark value of it that is less.
    """
    lowest = values.min(initial=0)
    others = values[values > lowest]
    if not lowest < 0 or not 0 < len(others) <= (1 - LEAST_PADDING) * len(values):
        return values
    dark, background, bright = np.percentile(others, (2, 5, 98)).tolist()
    gap = background - float(lowest)
    mixed = (others < background - gap / 2).mean()  # of padding and scan, by interpolation
    scan: np.ndarray = others[others >= background - gap / 20]
    dark = max(dark, background - gap / 20)
    own_background = (scan <= dark + BACKGROUND_LEVEL * (bright - dark)).mean()
    if mixed > MOST_MIXED or _shows_fat_and_bone(scan):
        return values
    if own_background >= BACKGROUND_SHARE:
        return scan
    if _shows_soft_tissue(scan):
        return values
    return np.where(values < min(background - gap / 20, 0.0), min(dark, 0.0), values)


def _shows_fat_and_bone(values: np.ndarray) -> bool:
    """Return whether values without air look like Hounsfield units of a head."""
    fat = ((values > FAT_HU[0]) & (values < FAT_HU[1])).mean()
    soft = values[(values > SOFT_HU[0]) & (values < SOFT_HU[1])]
    bone = (values > BONE_HU).mean()
    return bool(fat >= FAT_SHARE and bone >= BONE_SHARE and (soft < 0).mean() <= MOST_BELOW_WATER)


def _shows_soft_tissue(values: np.ndarray) -> bool:
    """Return whether the soft tissue of values without air lies where it does in Hounsfield units, as of a brain."""
    soft = values[(values > SOFT_HU[0]) & (values < SOFT_HU[1])]
    if len(soft) < TISSUE_SHARE * len(values):
        return False
    return bool(TISSUE_HU[0] < np.median(soft) < TISSUE_HU[1])


def looks_hounsfield(voxels: np.ndarray) -> bool:
    """Return whether a scalar volume is in Hounsfield units."""
    return bool((finite_sample(voxels) < AIR_HU).any())


def looks_like_labels(voxels: np.ndarray) -> bool:
    """Return whether a volume (slice, row, column) holds labels: whole numbers in regions, not noise or shades.

    Small objects count, and so does every mask. Shades that change by one are not labels: between these, linear
    interpolation makes no others.
    """
    whole = _whole_numbers(voxels)
    if whole is None or len(np.unique(finite_sample(whole))) > MOST_LABELS:
        return False
    values, counts = _count_values(whole)
    if len(values) <= 2:
        return len(values) == 2
    if len(values) > MOST_LABELS:
        return False
    neighbors = _Neighbors(whole, values, counts)
    if neighbors.median_alike() > ALIKE_FACES:
        return len(values) < FEWEST_SHADES or neighbors.share_of_next_shades() <= NEXT_SHADE
    return neighbors.share_filled() < SPARSE and neighbors.unlike_contacts() < MOST_CONTACTS


def is_surely_labels(voxels: np.ndarray) -> bool:
    """Return whether a volume (slice, row, column) can only hold labels, not a scan without noise.

    Its values are few, hardly any differs from the next one in its row, and where one does, it is not the next shade.
    """
    if voxels.ndim != 3 or len(np.unique(finite_sample(voxels))) > MOST_SURE_LABELS:  # of most scans, and seen fast
        return False
    regions = _Regions.of(voxels, MOST_SURE_LABELS)
    if regions is None or regions.share_like_the_next() <= SURELY_SAME_AS_NEXT:
        return False
    return regions.values <= FEW_LABELS or regions.share_of_next_shades() <= NEXT_SHADE


def _whole_numbers(voxels: np.ndarray) -> np.ndarray | None:
    """Return the voxels of a scalar volume as integers, also those of a float type; None where it has fractions.

    What is not finite counts as 0, the background: some programs put NaN around labels.
    """
    if voxels.ndim != 3 or np.issubdtype(voxels.dtype, np.integer):
        return voxels if voxels.ndim == 3 else None
    sample = finite_sample(voxels)
    if not np.array_equal(sample, np.rint(sample)):  # of most scans, and seen fast
        return None
    finite = np.nan_to_num(voxels, nan=0, posinf=0, neginf=0)
    with np.errstate(invalid="ignore"):  # values beyond int32 differ below
        whole = finite.astype(np.int32)
    return whole if np.array_equal(whole, finite) else None


def _count_values(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ones of whole numbers, rising, and how often each occurs; without sorting if it can."""
    lowest, highest = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, WIDEST_COUNTED)
    if highest - lowest >= WIDEST_COUNTED:
        values, occurrences = np.unique(numbers, return_counts=True)
        return values, occurrences
    counts = np.zeros(highest - lowest + 1, np.int64)
    for part in np.atleast_2d(numbers):  # of a volume a slice, since they are counted as 64 bits
        counts += np.bincount(part.ravel().astype(np.int64) - lowest, minlength=len(counts))
    found = np.flatnonzero(counts)
    return found + lowest, counts[found]


class _Neighbors:
    """The voxels of a volume of whole numbers, and those that share a face with them.

    The background is the most frequent value.

    Args:
        voxels: (slice, row, column).
        values: The different ones, rising (n,).
        counts: How often each occurs (n,).
    """

    def __init__(self, voxels: np.ndarray, values: np.ndarray, counts: np.ndarray) -> None:
        self._values, self._counts = values, counts
        self._background = values[counts.argmax()]
        self._axes = [np.moveaxis(voxels, axis, 0) for axis in range(3) if voxels.shape[axis] > 1]

    def median_alike(self) -> float:
        """Return the share of a value's faces that lie between two voxels of it, of the median value.

        The median does not see a few values that fill regions in a scan, such as those that were clipped.
        """
        alike = np.zeros(len(self._values))
        for along in self._axes:
            same = along[:-1][(along[:-1] == along[1:]) & (along[:-1] != self._background)]
            found, counts = _count_values(same)
            alike[np.searchsorted(self._values, found)] += counts
        inside = self._values != self._background
        return float(np.median(alike[inside] / (len(self._axes) * self._counts[inside])))

    def share_of_next_shades(self) -> float:
        """Return the share of changes, also from the background, that are by no more than the usual step of values."""
        step = 1.5 * np.median(np.diff(self._values))
        changes, small = 0, 0
        for along in self._axes:
            unlike = along[:-1] != along[1:]
            steps = np.abs(along[:-1][unlike].astype(np.int64) - along[1:][unlike].astype(np.int64))
            changes, small = changes + len(steps), small + int((steps <= step).sum())
        return small / changes

    def share_filled(self) -> float:
        """Return the share of the voxels that are not background."""
        return float(1 - self._counts.max() / self._counts.sum())

    def unlike_contacts(self) -> float:
        """Return how many faces lie between two unlike voxels outside the background, for each voxel outside."""
        contacts = 0
        for along in self._axes:
            own, other = along[:-1], along[1:]
            contacts += int(((own != other) & (own != self._background) & (other != self._background)).sum())
        return float(contacts / (self._counts.sum() - self._counts.max()))


class _Regions(NamedTuple):
    """The voxels outside the background of a volume of whole numbers, each beside the next one in its row.

    In labels most of them are like the next one; in a scan that is so in the background alone, whose value is the most
    frequent.

    Attributes:
        values: How many different ones the whole volume has.
        own: (n,).
        next: (n,).
    """

    values: int
    own: np.ndarray
    next: np.ndarray

    @classmethod
    def of(cls, voxels: np.ndarray, most_values: int) -> "_Regions | None":
        """Return them; None where the volume has fractions, colors or more different values, or is all background."""
        whole = _whole_numbers(voxels)
        if whole is None:
            return None
        values, counts = _count_values(whole)
        if len(values) > most_values:
            return None
        inside = whole[..., :-1] != values[counts.argmax()]
        return cls(len(values), whole[..., :-1][inside], whole[..., 1:][inside]) if inside.any() else None

    def share_like_the_next(self) -> float:
        return float((self.own == self.next).mean())

    def share_of_next_shades(self) -> float:
        """Return how often a change is one by one; 0 without any change."""
        changes = np.abs(self.own.astype(np.int64) - self.next)[self.own != self.next]
        return float((changes == 1).mean()) if len(changes) else 0.0


def likeliest_modality(voxels: np.ndarray) -> str:
    """Return "ct" for a scalar volume in Hounsfield units, else "pet", also for one with components (4 axes)."""
    hounsfield = voxels.ndim == 3 and bool((without_fill(finite_sample(voxels)) < AIR_HU).any())
    return next(row.name for row in MODALITIES.values() if (row.window is not None) == hounsfield)
