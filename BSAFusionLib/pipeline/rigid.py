"""Register volumes rigidly by mutual information, to initialize the network's registration."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.geometry.grids import downsample
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

Candidate = tuple[float, sitk.Euler3DTransform]
"""Negative mutual information, infinite where the volumes do not overlap, and the transform."""


def prealign_rigidly(
    fixed: sitk.Image,
    moving: sitk.Image,
    progress: Callable[[float], None] | None = None,
    cancelled: CancelCheck | None = None,
) -> sitk.Euler3DTransform:
    """Estimate the rigid transform of most mutual information inside the fixed head.

    The search begins with the centers of mass and with the middles of both volumes aligned, upright and turned; the
    best candidates go on to finer levels. The same volumes give the same transform.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        progress: Called with the fraction that is done.
        cancelled: Asked often; True stops the search.

    Returns:
        Fixed point to moving point, mm, LPS.

    Raises:
        Cancelled: `cancelled` returned True.
        FusionError: The volumes do not overlap wherever the search went.
    """
    candidates = _initial_candidates(fixed, moving)
    done, total = 0, len(candidates) + sum(level.survivors for level in LEVELS[:-1])
    stop = Event()
    with ThreadPoolExecutor(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()) as pool:
        for level in LEVELS:
            optimizer = _Optimizer(fixed, moving, level, stop)
            refined = []
            for future in [pool.submit(optimizer.refine, candidate) for candidate in candidates]:
                refined.append(_wait_for(future, cancelled, stop))
                done += 1
                if progress is not None:
                    progress(done / total)
            candidates = _distinct_best(refined, level.survivors)
    if not np.isfinite(min(value for value, _ in refined)):
        raise FusionError("Rigid registration failed: the volumes do not overlap; check that both show the same head.")
    return candidates[0]


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

    def __init__(self, fixed: sitk.Image, moving: sitk.Image, level: Level, stop: Event) -> None:
        self._fixed = downsample(fixed, level.spacing_mm)
        self._moving = _pad_with_air(downsample(moving, level.spacing_mm))
        self._mask = sitk.BinaryDilate(head_mask(self._fixed), (1, 1, 1))
        self._step_mm, self._stop = level.step_mm, stop

    def refine(self, candidate: sitk.Euler3DTransform) -> Candidate:
        """Find the best transform near a candidate.

        Raises:
            Cancelled: `stop` was set meanwhile.
        """
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)  # sums in one order, so that every machine gets the same result
        method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
        method.SetMetricFixedMask(self._mask)
        method.SetInterpolator(sitk.sitkLinear)
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


def _distinct_best(refined: Sequence[Candidate], count: int) -> list[sitk.Euler3DTransform]:
    """Return the best transforms that have reached different optima, at most `count`."""
    best: list[sitk.Euler3DTransform] = []
    for _, transform in sorted(refined, key=lambda candidate: candidate[0]):
        if len(best) < count and all(_largest_gap(transform, other) > SAME_OPTIMUM_MM for other in best):
            best.append(transform)
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
