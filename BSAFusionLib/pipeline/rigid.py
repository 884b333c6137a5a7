"""Register volumes rigidly by mutual information, to initialize the network's registration."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.brain_only import brain_ball, brain_only, divide_ramp
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.memory import is_out_of_memory
from BSAFusionLib.pipeline.progress import CancelCheck

INITIAL_TURN_DEG = 12.0  # to either side about each axis; every larger turn is within reach of one of them
SAME_OPTIMUM_MM = 2.0  # two transforms that differ by less have reached the same optimum
LEVER_MM = 40.0  # one radian counts as much as a shift of this length; about the mean radius of a head
AIR_MARGIN_MM = 30.0
HISTOGRAM_BINS = 32
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


LEVELS = (Level(8.0, 4.0, 2), Level(4.0, 2.0, 1), Level(3.0, 0.5, 1))
NEAR_LEVELS = (Level(4.0, 2.0, 2), Level(3.0, 0.5, 2))  # where the heads' own poses say about where to search
NEAR_HEADS_MM = 20.0  # a result further from the heads' poses has followed something else than the heads
ENOUGH_SIMILARITY = 0.9  # of the best that the brains alone reach; a result in the whole head with less is rejected

Candidate = tuple[float, sitk.Euler3DTransform]
"""Negative mutual information, infinite where the volumes do not overlap, and the transform."""


def prealign_rigidly(
    fixed: sitk.Image,
    moving: sitk.Image,
    progress: Callable[[float], None] | None = None,
    cancelled: CancelCheck | None = None,
    from_heads: sitk.Euler3DTransform | None = None,
) -> sitk.Euler3DTransform:
    """Estimate the rigid transform of most mutual information inside the fixed head.

    With `from_heads`, only its neighborhood is searched, and what leaves it is rejected: a wrong overlap can have more
    mutual information than the right one. Without it, the search begins with the placement in the files, and with the
    centers of mass and the middles of both volumes aligned, upright and turned; the best candidates go on to finer
    levels. The same volumes give the same transform.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        progress: Called with the fraction that is done.
        cancelled: Asked often; True stops the search.
        from_heads: The motion between both heads' own poses, fixed point to moving point, mm, LPS; its center is the
            fixed brain's.

    Returns:
        Fixed point to moving point, mm, LPS.

    Raises:
        Cancelled: `cancelled` returned True.
        FusionError: The volumes do not overlap wherever the search went.
    """
    as_placed = sitk.Euler3DTransform()
    if from_heads is None:
        candidates = [as_placed, *_initial_candidates(fixed, moving)]
        value, best = _search(fixed, moving, candidates, LEVELS, progress, cancelled)[0]
        if not np.isfinite(value):
            raise FusionError(
                "Rigid registration failed: the volumes do not overlap; check that both show the same head."
            )
        return best
    as_placed.SetCenter(from_heads.GetCenter())
    candidates = [from_heads] + ([as_placed] if _largest_gap(from_heads, as_placed) <= NEAR_HEADS_MM else [])
    ranked = _search(fixed, moving, candidates, NEAR_LEVELS, progress, cancelled)
    near = [found for _, found in ranked if _largest_gap(from_heads, found) <= NEAR_HEADS_MM]
    return _check_by_brain(fixed, moving, from_heads, near[0] if near else None, cancelled)


def _check_by_brain(
    fixed: sitk.Image,
    moving: sitk.Image,
    from_heads: sitk.Euler3DTransform,
    in_head: sitk.Euler3DTransform | None,
    cancelled: CancelCheck | None,
) -> sitk.Euler3DTransform:
    """Return the result in the whole head, if the brains alone are about as similar as they can be with it.

    Otherwise return the result for the brains alone: an MRI that is bright on one side, or a gland hotter than the
    brain, leads mutual information in the whole head elsewhere.
    """
    center = from_heads.GetCenter()
    even = brain_only(divide_ramp(downsample(fixed, NEAR_LEVELS[-1].spacing_mm), center), center)
    cool = brain_only(downsample(moving, NEAR_LEVELS[-1].spacing_mm), from_heads.TransformPoint(center))
    ranked = _search(even, cool, [from_heads], NEAR_LEVELS, None, cancelled, center)
    near = [found for _, found in ranked if _largest_gap(from_heads, found) <= NEAR_HEADS_MM]
    by_brain = near[0] if near else from_heads
    if in_head is None:
        return by_brain
    brains = _Optimizer(even, cool, NEAR_LEVELS[-1], Event(), center)
    return in_head if brains.similarity(in_head) >= ENOUGH_SIMILARITY * brains.similarity(by_brain) else by_brain


def _search(
    fixed: sitk.Image,
    moving: sitk.Image,
    candidates: list[sitk.Euler3DTransform],
    levels: Sequence[Level],
    progress: Callable[[float], None] | None,
    cancelled: CancelCheck | None,
    brain: tuple[float, ...] | None = None,
) -> list[Candidate]:
    """Refine candidates level by level, inside the fixed head or around a brain's center; the best one is first."""
    done, total = 0, len(candidates) + sum(level.survivors for level in levels[:-1])
    stop = Event()
    best: list[Candidate] = []
    with ThreadPoolExecutor(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()) as pool:
        for level in levels:
            optimizer = _Optimizer(fixed, moving, level, stop, brain)
            refined = []
            for future in [pool.submit(optimizer.refine, candidate) for candidate in candidates]:
                refined.append(_wait_for(future, cancelled, stop))
                done += 1
                if progress is not None:
                    progress(min(1.0, done / total))
            best = _distinct_best(refined, level.survivors)
            candidates = [transform for _, transform in best]
    return best


def _initial_candidates(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Return the transforms from which the search begins."""
    turns = np.radians(INITIAL_TURN_DEG) * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    candidates = []
    for method in (
        sitk.CenteredTransformInitializerFilter.MOMENTS,
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    ):
        centered = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), method)
        for turn in turns:
            candidate = sitk.Euler3DTransform(centered)
            candidate.SetRotation(*turn.tolist())
            candidates.append(candidate)
    return candidates


class _Optimizer:
    """Refines candidates at one level."""

    def __init__(
        self,
        fixed: sitk.Image,
        moving: sitk.Image,
        level: Level,
        stop: Event,
        brain: tuple[float, ...] | None = None,
    ) -> None:
        self._fixed = downsample(fixed, level.spacing_mm)
        self._moving = _pad_with_air(downsample(moving, level.spacing_mm))
        if brain is None:
            self._mask = sitk.BinaryDilate(head_mask(self._fixed), (1, 1, 1))
        else:
            self._mask = brain_ball(self._fixed, brain)
        self._step_mm, self._stop = level.step_mm, stop

    def similarity(self, transform: sitk.Euler3DTransform) -> float:
        """Return the mutual information with a transform, 0 where the volumes do not overlap."""
        method = self._method()
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

    def refine(self, candidate: sitk.Euler3DTransform) -> Candidate:
        """Find the best transform near a candidate.

        Raises:
            Cancelled: `stop` was set meanwhile.
        """
        method = self._method()
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
        if self._stop.is_set():
            raise Cancelled
        return value, transform


def _wait_for(future: "Future[Candidate]", cancelled: CancelCheck | None, stop: Event) -> Candidate:
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
        if len(best) < count and all(_largest_gap(transform, other) > SAME_OPTIMUM_MM for _, other in best):
            best.append((value, transform))
    return best


def _largest_gap(one: sitk.Euler3DTransform, other: sitk.Euler3DTransform) -> float:
    """Return the largest distance in mm between the images of points `LEVER_MM` from the center along the axes."""
    points = one.GetCenter() + LEVER_MM * np.concatenate([np.eye(3), -np.eye(3)])
    gaps = [np.subtract(one.TransformPoint(point), other.TransformPoint(point)) for point in points.tolist()]
    return float(np.linalg.norm(gaps, axis=1).max())


def _pad_with_air(image: sitk.Image) -> sitk.Image:
    """Add `AIR_MARGIN_MM` of zeros around a volume, or four times its own size where it is tiny.

    Otherwise the farther the volumes are apart, the fewer points mutual information is taken over, which draws them
    apart where the moving volume is cut close to the head.
    """
    margin = np.ceil(AIR_MARGIN_MM / np.array(image.GetSpacing()))
    width = np.minimum(margin, 4 * np.array(image.GetSize())).astype(int).tolist()
    padded: sitk.Image = sitk.ConstantPad(image, width, width, 0.0)
    return padded
