"""A rigid start: the moving volume turned and shifted onto the fixed one by mutual information."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.memory import lacks_memory

start_turn = 12.0  # degrees: starts this far to either side about each axis leave every larger turn within reach
kept = 2  # of the starts, after the first level, where they ended in different places
same = 2.0  # mm: two that differ by less went to the same place
lever = 40.0  # mm: one radian counts as much as a shift of this length; about the mean radius of a head


def prealign_rigidly(
    fixed: sitk.Image,
    moving: sitk.Image,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> sitk.Euler3DTransform:
    """The rigid transform, fixed point -> moving point, of most mutual information inside the fixed head.

    fixed, moving: float32 in [0, 1], what the network sees of them. Starts from their centres of mass and from their
    middles, upright and turned; the best ones go on to finer levels. progress(fraction) of this step. The same volumes
    give the same transform.
    Raises Cancelled; FusionError where the volumes cannot be brought over each other.
    """
    initial = [
        sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), how)
        for how in (
            sitk.CenteredTransformInitializerFilter.MOMENTS,
            sitk.CenteredTransformInitializerFilter.GEOMETRY,
        )
    ]
    turns = np.radians(start_turn) * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    candidates = []
    for transform in initial:
        for turn in turns:
            candidate = sitk.Euler3DTransform(transform)
            candidate.SetRotation(*turn.tolist())
            candidates.append(candidate)

    done, steps = 0, len(candidates) + kept + 1
    stop = Event()
    with ThreadPoolExecutor(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()) as pool:
        for spacing, step, keep in ((8.0, 4.0, kept), (4.0, 2.0, 1), (3.0, 0.5, 1)):  # mm, mm
            coarse_fixed, coarse_moving = downsample(fixed, spacing), _amid_air(downsample(moving, spacing))
            mask = _around_head(coarse_fixed)
            found = []
            for future in [
                pool.submit(_refine, coarse_fixed, coarse_moving, mask, candidate, step, stop)
                for candidate in candidates
            ]:
                found.append(_awaited(future, cancelled, stop))
                done += 1
                if progress is not None:
                    progress(done / steps)
            candidates = []
            for _, transform in sorted(found, key=lambda pair: pair[0]):
                if len(candidates) < keep and all(_largest_gap(transform, other) > same for other in candidates):
                    candidates.append(transform)
    if not np.isfinite(min(value for value, _ in found)):
        raise FusionError(
            "The pre-alignment could not bring the volumes over each other; see that both show the same head."
        )
    return candidates[0]


def _refine(
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    start: sitk.Euler3DTransform,
    step: float,
    stop: Event,
) -> tuple[float, sitk.Euler3DTransform]:
    """The best transform near `start` and its negative mutual information, infinite where the volumes do not meet."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in one order, so that every machine finds the same; others start beside it
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    # Steps down to a twentieth: the next level goes on from there, and after the last one the network.
    method.SetOptimizerAsRegularStepGradientDescent(step, step / 20, 100, 0.7, 1e-6)
    method.SetOptimizerScales([lever**2] * 3 + [1.0] * 3)
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.AddCommand(sitk.sitkIterationEvent, lambda: method.StopRegistration() if stop.is_set() else None)
    try:
        method.Execute(fixed, moving)
        value = method.GetMetricValue()
    except RuntimeError as error:  # ITK: too few points of the fixed volume come to lie in the moving one
        if lacks_memory(error):
            raise
        value = float("inf")
    if stop.is_set():
        raise Cancelled
    return value, transform


def _awaited(future: Future, cancelled: Callable[[], bool] | None, stop: Event) -> tuple[float, sitk.Euler3DTransform]:
    """What a future comes to; `cancelled` is asked on this thread alone, since it may look at a window."""
    while True:
        if cancelled is not None and cancelled():
            stop.set()
        if wait([future], timeout=0.05).done:
            return future.result()


def _largest_gap(one: sitk.Euler3DTransform, other: sitk.Euler3DTransform) -> float:
    """How far apart, in mm, two transforms bring a point that lies `lever` from the middle along an axis."""
    points = one.GetCenter() + lever * np.concatenate([np.eye(3), -np.eye(3)])
    gaps = [np.subtract(one.TransformPoint(point), other.TransformPoint(point)) for point in points.tolist()]
    return float(np.linalg.norm(gaps, axis=1).max())


def _amid_air(image: sitk.Image) -> sitk.Image:
    """The volume with 30 mm of nothing around it, or four times its own size where it is tiny.

    Mutual information would else be taken over fewer points the farther the volumes are apart, which draws them off
    where the moving volume is cut close to the head.
    """
    width = np.minimum(np.ceil(30.0 / np.array(image.GetSpacing())), 4 * np.array(image.GetSize())).astype(int).tolist()
    return sitk.ConstantPad(image, width, width, 0.0)


def _around_head(image: sitk.Image) -> sitk.Image:
    """The head and a voxel around it."""
    return sitk.BinaryDilate(head_mask(image), (1, 1, 1))
