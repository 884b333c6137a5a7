"""The designed cases: known motions of real volumes, their kinds spread evenly over one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from BSAFusionResearch.evaluation.known_motion import KnownMotion

modalities = ("pet", "ct")
slice_axes = ("k", "j", "i")
motions = ((2.0, 3.0), (12.0, 15.0), (25.0, 20.0))  # degrees and mm
elastics = (0.0, 3.0, 6.0, 10.0)  # mm, largest in the head
# How the fixed and the moving volume are sampled: in 2 mm cubes as they are, in thick slices, or on a turned grid.
samplings = {
    "as is": ("as is", "as is"),
    "fixed thick": ("thick", "as is"),
    "moving thick": ("as is", "thick"),
    "fixed oblique": ("oblique", "as is"),
    "moving oblique": ("as is", "oblique"),
    "fixed thick, moving oblique": ("thick", "oblique"),
}
# What varies, and by how many levels.
factors = {"modality": 2, "slice_axis": 3, "degrees": 3, "elastic_mm": 4, "sampling": 6}
slice_thickness = 6.0  # mm, along the third index axis
oblique_turn = 20.0  # degrees, about the axis below
oblique_axis = (1.0, 2.0, -1.0)


@dataclass(frozen=True)
class Case:
    """One moving volume, a known motion of it, the slices' axis and how both volumes are sampled.

    number: the case's place in the full design; it is also the motion's seed.
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
        return KnownMotion(self.number, self.degrees, self.mm, self.elastic_mm)

    def volumes(self, fixed: sitk.Image, moving: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
        """The two volumes as this case shows them, made from the two as they are, aligned; LPS, mm.

        The moving one is moved first and sampled then, as a scanner would do it.
        """
        fixed_sampling, moving_sampling = samplings[self.sampling]
        return sampled(fixed, fixed_sampling), sampled(self.motion.move(moving, fixed), moving_sampling)


def designed_cases() -> list[Case]:
    """All 72: every modality with every slice axis, motion and elastic part; each sampling meets each of those equally
    often. Ordered so that the first cases, however many, are spread over all that varies.
    """
    cases = []
    levels = (range(len(each)) for each in (modalities, slice_axes, motions, elastics))
    for number, (modality, axis, motion, elastic) in enumerate(product(*levels)):
        sampling = list(samplings)[3 * ((modality + elastic) % 2) + (axis + motion + elastic) % 3]
        cases.append(
            Case(number, modalities[modality], slice_axes[axis], *motions[motion], elastics[elastic], sampling)
        )
    return _spread(cases)


def sampled(image: sitk.Image, sampling: str) -> sitk.Image:
    """A volume on another grid over the same space: "as is", "thick" or "oblique" (see `samplings`).

    A thick slice is the mean of what lies in it. A turned grid keeps the middle, the size and the spacing; what lies
    beyond the volume gets its lowest value.
    """
    if sampling == "as is":
        return image
    if sampling == "thick":
        together = round(slice_thickness / image.GetSpacing()[2])
        return sitk.BinShrink(image, (1, 1, together))
    turn = sitk.VersorTransform(oblique_axis, np.radians(oblique_turn))
    middle = [(size - 1) / 2 for size in image.GetSize()]
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint(middle))
    grid = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    grid.SetSpacing(image.GetSpacing())
    grid.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    matrix = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    grid.SetDirection(matrix.ravel().tolist())
    lowest = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, lowest, image.GetPixelID())


def _spread(cases: Sequence[Case]) -> list[Case]:
    """The cases, each as unlike all those before it as can be."""
    left, ordered = list(cases), []
    likeness = dict.fromkeys(left, 0)
    while left:
        case = min(left, key=lambda other: (likeness[other], other.number))
        left.remove(case)
        ordered.append(case)
        for other in left:
            likeness[other] += _likeness(case, other)
    return ordered


def _likeness(one: Case, other: Case) -> int:
    """Greater the more levels two cases share, and the rarer it is to share them by chance."""
    return sum(count for factor, count in factors.items() if getattr(one, factor) == getattr(other, factor)) ** 2
