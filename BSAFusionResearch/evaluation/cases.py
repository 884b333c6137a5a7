"""Design 72 cases: known motions of real volumes, all kinds spread evenly over one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from BSAFusionResearch.evaluation.known_motion import KnownMotion

# The design is fixed, so that its figures stay comparable: a new modality is measured by `evaluate --volumes`.
CASE_MODALITIES = ("pet", "ct")
SLICE_AXES = ("k", "j", "i")
MOTIONS = ((2.0, 3.0), (12.0, 15.0), (25.0, 20.0))
"""Degrees and mm."""

ELASTICS_MM = (0.0, 3.0, 6.0, 10.0)
"""Largest elastic displacement in the head."""

SAMPLINGS = {
    "as is": ("as is", "as is"),
    "fixed thick": ("thick", "as is"),
    "moving thick": ("as is", "thick"),
    "fixed oblique": ("oblique", "as is"),
    "moving oblique": ("as is", "oblique"),
    "fixed thick, moving oblique": ("thick", "oblique"),
}
"""How the fixed and the moving volume are sampled: in 2 mm cubes as they are, in thick slices, or on a turned grid."""

FACTORS = {"modality": 2, "slice_axis": 3, "degrees": 3, "elastic_mm": 4, "sampling": 6}
"""The factors of the design, and how many levels each has."""

SLICE_THICKNESS_MM = 6.0
"""Of thick slices, along the third index axis."""

OBLIQUE_DEGREES = 20.0
OBLIQUE_AXIS = (1.0, 2.0, -1.0)


@dataclass(frozen=True)
class Case:
    """One moving volume, a known motion of it, the slices' axis, and how both volumes are sampled.

    Attributes:
        number: Place in the full design, and seed of the motion.
        modality: Of the moving volume.
        slice_axis: Index axis of the fixed volume that slices are cut across.
        degrees: Angle of the rigid motion.
        mm: Length of its translation.
        elastic_mm: Largest elastic displacement in the head.
        sampling: A key of `SAMPLINGS`.
    """

    number: int
    modality: str
    slice_axis: str
    degrees: float
    mm: float
    elastic_mm: float
    sampling: str

    @property
    def motion(self) -> KnownMotion:
        """The known motion of the moving volume."""
        return KnownMotion(self.number, self.degrees, self.mm, self.elastic_mm)

    def volumes(self, fixed: sitk.Image, moving: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
        """Make the two volumes of this case from an aligned pair.

        The moving volume is moved first and sampled then, as a scanner does it.
        """
        fixed_sampling, moving_sampling = SAMPLINGS[self.sampling]
        return sampled(fixed, fixed_sampling), sampled(self.motion.move(moving, fixed), moving_sampling)


def designed_cases() -> list[Case]:
    """Return all 72 cases, ordered so that the first ones, however many, are spread over all factors.

    Every modality meets every slice axis, motion and elastic part; each sampling meets each of those equally often.
    """
    cases = []
    levels = (range(len(names)) for names in (CASE_MODALITIES, SLICE_AXES, MOTIONS, ELASTICS_MM))
    for number, (modality, axis, motion, elastic) in enumerate(product(*levels)):
        sampling = list(SAMPLINGS)[3 * ((modality + elastic) % 2) + (axis + motion + elastic) % 3]
        kind = CASE_MODALITIES[modality], SLICE_AXES[axis]
        cases.append(Case(number, *kind, *MOTIONS[motion], ELASTICS_MM[elastic], sampling))
    return _spread(cases)


def sampled(image: sitk.Image, sampling: str) -> sitk.Image:
    """Resample a volume onto another grid over the same space.

    A thick slice is the mean of the slices in it. A turned grid keeps center, size and spacing; what lies outside the
    volume gets its lowest value.

    Args:
        image: The volume.
        sampling: "as is", "thick" or "oblique".
    """
    if sampling == "as is":
        return image
    if sampling == "thick":
        slices_in_one = round(SLICE_THICKNESS_MM / image.GetSpacing()[2])
        return sitk.BinShrink(image, (1, 1, slices_in_one))
    turn = sitk.VersorTransform(OBLIQUE_AXIS, np.radians(OBLIQUE_DEGREES))
    center = [(size - 1) / 2 for size in image.GetSize()]
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint(center))
    grid = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    grid.SetSpacing(image.GetSpacing())
    grid.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    matrix = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    grid.SetDirection(matrix.ravel().tolist())
    lowest = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, lowest, image.GetPixelID())


def _spread(cases: Sequence[Case]) -> list[Case]:
    """Order cases so that each differs as much as possible from those before it."""
    left, ordered = list(cases), []
    similarity = dict.fromkeys(left, 0)
    while left:
        case = min(left, key=lambda other: (similarity[other], other.number))
        left.remove(case)
        ordered.append(case)
        for other in left:
            similarity[other] += _similarity(case, other)
    return ordered


def _similarity(one: Case, other: Case) -> int:
    """Return a number that grows with the levels that two cases share, more for those rarely shared by chance."""
    return sum(count for factor, count in FACTORS.items() if getattr(one, factor) == getattr(other, factor)) ** 2
