"""Refine rigid transforms by mutual information, level by level."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import NamedTuple, TypeVar

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.memory import is_out_of_memory
from BSAFusionLib.pipeline.progress import CancelCheck

SAME_OPTIMUM_MM = 2.0  # two transforms that differ by less have reached the same optimum
LEVER_MM = 40.0  # one radian counts as much as a shift of this length; about the mean radius of a head
AIR_MARGIN_MM = 30.0
HISTOGRAM_BINS = 32
SEED = 42  # the same volumes give the same transform
MAX_ITERATIONS = 100
STEP_RELAXATION = 0.7
MIN_GRADIENT = 1e-6
POLL_SECONDS = 0.05


class Level(NamedTuple):
    """One level of the search, from coarse to fine.

    Attributes:
        spacing_mm: Of both volumes.
        step_mm: First step of the optimizer; its last one is a twentieth, since the next level goes on from there.
        survivors: Candidates that go on to the next level.
    """

    spacing_mm: float
    step_mm: float
    survivors: int


Candidate = tuple[float, sitk.Euler3DTransform]
"""Negative mutual information, infinite where the volumes do not overlap, and the transform."""


Result = TypeVar("Result")

Region = Callable[[sitk.Image], sitk.Image]
"""Makes the mask, uint8, of where mutual information is taken in a coarse fixed volume."""


def head_region(image: sitk.Image) -> sitk.Image:
    """Return the mask of the head and the voxels around it."""
    mask: sitk.Image = sitk.BinaryDilate(head_mask(image), (1, 1, 1))
    return mask


def search(
    fixed: sitk.Image,
    moving: sitk.Image,
    candidates: list[sitk.Euler3DTransform],
    levels: Sequence[Level],
    progress: Callable[[float], None] | None,
    cancelled: CancelCheck | None,
    region: Region = head_region,
) -> list[Candidate]:
    """Refine candidates level by level, inside a region of the fixed volume; the best one is first."""
    done, total = 0, len(candidates) + sum(level.survivors for level in levels[:-1])
    stop = Event()
    best: list[Candidate] = []
    with ThreadPoolExecutor(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()) as pool:
        for level in levels:
            optimizer = Optimizer.at_level(fixed, moving, level, stop, region)
            refined = []
            for future in [pool.submit(optimizer.refine, candidate) for candidate in candidates]:
                refined.append(wait_for(future, cancelled, stop))
                done += 1
                if progress is not None:
                    progress(min(1.0, done / total))
            best = _distinct_best(refined, level.survivors)
            candidates = [transform for _, transform in best]
    return best


class Optimizer:
    """Refines candidates.

    Attributes:
        samples: Points of the mask, at most, at which mutual information is taken; the fine refinement takes more.
    """

    samples = 60_000

    def __init__(self, fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, step_mm: float, stop: Event) -> None:
        """Prepare to refine.

        Args:
            fixed: As coarse as mutual information is taken.
            moving: Likewise, with air around it.
            mask: Where mutual information is taken, 1 on the grid of `fixed`.
            step_mm: First step.
            stop: Set it to stop.
        """
        self._fixed, self._moving, self._mask = fixed, moving, mask
        self._step_mm, self._stop = step_mm, stop
        # Counted here, since threads that share an image must not ask for its array.
        self._inside = int(sitk.GetArrayViewFromImage(mask).sum())

    @classmethod
    def at_level(
        cls, fixed: sitk.Image, moving: sitk.Image, level: Level, stop: Event, region: Region = head_region
    ) -> "Optimizer":
        """Make both volumes as coarse as a level."""
        coarse = downsample(fixed, level.spacing_mm)
        return cls(coarse, pad_with_air(downsample(moving, level.spacing_mm)), region(coarse), level.step_mm, stop)

    def similarity(self, transform: sitk.Euler3DTransform) -> float:
        """Return the mutual information with a transform, 0 where the volumes do not overlap."""
        method = self._method()
        method.SetMetricUseMovingImageGradientFilter(False)  # it takes most of the time, and the value needs none
        method.SetInitialTransform(transform)
        try:
            return -float(method.MetricEvaluate(self._fixed, self._moving))
        except RuntimeError as error:  # as in `refine`
            if is_out_of_memory(error):
                raise
            return 0.0

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)  # sums in one order, so that every machine gets the same result
        method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
        method.SetMetricFixedMask(self._mask)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _sample(self, method: sitk.ImageRegistrationMethod) -> None:
        """Take mutual information at some points of the mask, the same ones in every run."""
        if self.samples < self._inside:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(self.samples / self._inside, SEED)

    def refine(self, candidate: sitk.Euler3DTransform) -> Candidate:
        """Find the best transform near a candidate.

        Raises:
            Cancelled: `stop` was set meanwhile.
        """
        method = self._method()
        self._sample(method)
        method.SetOptimizerAsRegularStepGradientDescent(
            self._step_mm, self._step_mm / 20, MAX_ITERATIONS, STEP_RELAXATION, MIN_GRADIENT
        )
        method.SetOptimizerScales([LEVER_MM**2] * 3 + [1.0] * 3)
        transform = sitk.Euler3DTransform(candidate)
        method.SetInitialTransform(transform, inPlace=True)
        method.AddCommand(sitk.sitkIterationEvent, lambda: method.StopRegistration() if self._stop.is_set() else None)
        try:
            method.Execute(self._fixed, self._moving)
            value = method.GetMetricValue()
        except RuntimeError as error:  # ITK: too few points of the fixed volume lie in the moving one
            if is_out_of_memory(error):
                raise
            value = float("inf")
        finally:
            method.RemoveAllCommands()  # else method and command hold one another, and the volumes, for good
        if self._stop.is_set():
            raise Cancelled
        return value, transform


def wait_for(future: "Future[Result]", cancelled: CancelCheck | None, stop: Event) -> Result:
    """Return a future's result; `cancelled` is asked on this thread alone, since it may look at a window."""
    while True:
        if cancelled is not None and cancelled():
            stop.set()
        if wait([future], timeout=POLL_SECONDS).done:
            return future.result()


def _distinct_best(refined: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return the best results that have reached different optima, at most `count`."""
    best: list[Candidate] = []
    for value, transform in sorted(refined, key=lambda candidate: candidate[0]):
        if len(best) < count and all(largest_gap(transform, other) > SAME_OPTIMUM_MM for _, other in best):
            best.append((value, transform))
    return best


def largest_gap(one: sitk.Euler3DTransform, other: sitk.Euler3DTransform) -> float:
    """Return the largest distance in mm between the images of points `LEVER_MM` from the center along the axes."""
    points = one.GetCenter() + LEVER_MM * np.concatenate([np.eye(3), -np.eye(3)])
    return float(np.linalg.norm(carry_points(one, points) - carry_points(other, points), axis=1).max())


def pad_with_air(image: sitk.Image) -> sitk.Image:
    """Add `AIR_MARGIN_MM` of zeros around a volume, or four times its own size where it is tiny.

    Otherwise the farther the volumes are apart, the fewer points mutual information is taken over, which draws them
    apart where the moving volume is cut close to the head.
    """
    margin = np.ceil(AIR_MARGIN_MM / np.array(image.GetSpacing()))
    width = np.minimum(margin, 4 * np.array(image.GetSize())).astype(int).tolist()
    padded: sitk.Image = sitk.ConstantPad(image, width, width, 0.0)
    return padded
