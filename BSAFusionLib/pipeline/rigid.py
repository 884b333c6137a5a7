"""Register volumes rigidly, to initialize the network's registration."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.brain_only import brain_ball, brain_only, divide_ramp
from BSAFusionLib.pipeline.fixed_mask import mask_on_grid
from BSAFusionLib.pipeline.placement import is_worth_the_move
from BSAFusionLib.pipeline.progress import CancelCheck
from BSAFusionLib.pipeline.rigid_refinement import SEARCHED_SPACING_MM, refine_finely
from BSAFusionLib.pipeline.rigid_search import (
    AIR_MARGIN_MM,
    Level,
    Optimizer,
    Region,
    head_region,
    largest_gap,
    search,
    wait_for,
)

INITIAL_TURN_DEG = 12.0  # to either side about each axis; every larger turn is within reach of one of them
LEVELS = (Level(8.0, 4.0, 2), Level(4.0, 2.0, 1), Level(SEARCHED_SPACING_MM, 0.5, 1))
NEAR_LEVELS = (Level(4.0, 2.0, 2), Level(SEARCHED_SPACING_MM, 0.5, 2))  # where it is known about where to search
# Sharp bones catch a search that begins turned by as little as the heads' poses may be off.
TURNED_LEVELS = (Level(8.0, 2.0, 2), Level(4.0, 1.0, 2), Level(SEARCHED_SPACING_MM, 0.5, 2))
POSE_TURN_DEG = 6.0
NEAR_HEADS_MM = 20.0  # a result further from the heads' poses has followed something else than the heads
ENOUGH_SIMILARITY = 0.9  # of the best that the brains alone reach; a result in the whole head with less is rejected


def prealign_rigidly(
    fixed: sitk.Image,
    moving: sitk.Image,
    progress: Callable[[float], None] | None = None,
    cancelled: CancelCheck | None = None,
    from_heads: sitk.Euler3DTransform | None = None,
    mask: sitk.Image | None = None,
) -> sitk.Euler3DTransform:
    """Estimate the rigid transform of most mutual information inside the fixed head, or inside a mask.

    With `from_heads`, only its neighborhood is searched, and what leaves it is rejected: a wrong overlap can have more
    mutual information than the right one. Without it, the search begins with the placement in the files, and with the
    centers of mass and the middles of both volumes aligned, upright and turned; the placement is left by a large move
    only where much more of both volumes is alike after it. The same volumes give the same transform.

    Args:
        fixed: The network input, float32 in [0, 1].
        moving: Likewise.
        progress: Called with the fraction that is done.
        cancelled: Asked often; True stops the search.
        from_heads: The motion between both heads' own poses, fixed point to moving point, mm, LPS; its center is the
            fixed brain's.
        mask: 1 inside; the user knows better than the check by the brain where to look, which is then left out.

    Returns:
        Fixed point to moving point, mm, LPS.

    Raises:
        Cancelled: `cancelled` returned True.
        FusionError: The volumes do not overlap wherever the search went.
    """
    region = head_region if mask is None else partial(mask_on_grid, mask)
    if from_heads is None:
        return _without_heads(fixed, moving, progress, cancelled, region)
    moving = crop_near(moving, fixed, from_heads)
    as_placed = sitk.Euler3DTransform()
    as_placed.SetCenter(from_heads.GetCenter())
    candidates = [_turned(from_heads, turn) for turn in _small_turns(POSE_TURN_DEG)]
    candidates += [as_placed] if largest_gap(from_heads, as_placed) <= NEAR_HEADS_MM else []
    ranked = search(fixed, moving, candidates, TURNED_LEVELS, progress, cancelled, region)
    near = [found for _, found in ranked if largest_gap(from_heads, found) <= NEAR_HEADS_MM]
    if mask is not None:
        return refine_finely(fixed, moving, near[0], cancelled, region) if near else from_heads
    return _check_by_brain(fixed, moving, from_heads, near[0] if near else None, cancelled)


def _without_heads(
    fixed: sitk.Image,
    moving: sitk.Image,
    progress: Callable[[float], None] | None,
    cancelled: CancelCheck | None,
    region: Region,
) -> sitk.Euler3DTransform:
    """Search everywhere, but leave the placement in the files only for what is much more alike."""
    as_placed = sitk.Euler3DTransform()
    as_placed.SetCenter(_middle(fixed))
    candidates = [as_placed, *_initial_candidates(fixed, moving)]
    value, best = search(fixed, moving, candidates, LEVELS, progress, cancelled, region)[0]
    if not np.isfinite(value):
        raise FusionError("Rigid registration failed: the volumes do not overlap; check that both show the same head.")
    if is_worth_the_move(fixed, moving, best, region):
        return refine_finely(fixed, moving, best, cancelled, region)
    value, nearby = search(fixed, moving, [as_placed], NEAR_LEVELS, None, cancelled, region)[0]
    if np.isfinite(value) and is_worth_the_move(fixed, moving, nearby, region):
        return refine_finely(fixed, moving, nearby, cancelled, region)
    return as_placed


def _check_by_brain(
    fixed: sitk.Image,
    moving: sitk.Image,
    from_heads: sitk.Euler3DTransform,
    in_head: sitk.Euler3DTransform | None,
    cancelled: CancelCheck | None,
) -> sitk.Euler3DTransform:
    """Return the result in the whole head, refined, if the brains alone are about as similar as they can be with it.

    Otherwise return the result for the brains alone: an MRI that is bright on one side, or a gland hotter than the
    brain, leads mutual information in the whole head elsewhere.
    """
    # Made before there are two threads, which must not both ask for the array of an image.
    coarse, center = downsample(fixed, SEARCHED_SPACING_MM), from_heads.GetCenter()
    even = brain_only(divide_ramp(coarse, center), center)
    cool = brain_only(downsample(moving, SEARCHED_SPACING_MM), from_heads.TransformPoint(center))
    if in_head is None:
        return _by_brain(even, cool, from_heads, None, cancelled)[0]
    if sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 1:
        by_brain, enough = _by_brain(even, cool, from_heads, in_head, cancelled)
        return refine_finely(fixed, moving, in_head, cancelled, coarse=coarse) if enough else by_brain
    stop = Event()
    # Either takes one thread; the result in the whole head is rarely rejected.
    with ThreadPoolExecutor(1) as pool:
        refining = pool.submit(refine_finely, fixed, moving, in_head, stop.is_set, coarse=coarse)
        try:
            by_brain, enough = _by_brain(even, cool, from_heads, in_head, cancelled)
            return wait_for(refining, cancelled, stop) if enough else by_brain
        finally:
            stop.set()


def _by_brain(
    fixed: sitk.Image,
    moving: sitk.Image,
    from_heads: sitk.Euler3DTransform,
    in_head: sitk.Euler3DTransform | None,
    cancelled: CancelCheck | None,
) -> tuple[sitk.Euler3DTransform, bool]:
    """Return the result for the brains alone, and whether they are about as similar with the one in the whole head.

    Args:
        fixed: Coarse, the brain alone, without a coil's ramp.
        moving: Coarse, the brain alone.
        from_heads: As `prealign_rigidly` takes it.
        in_head: The result in the whole head, if there is one.
        cancelled: Asked often.
    """
    brain = partial(brain_ball, center=from_heads.GetCenter())
    ranked = search(fixed, moving, [from_heads], NEAR_LEVELS, None, cancelled, brain)
    near = [found for _, found in ranked if largest_gap(from_heads, found) <= NEAR_HEADS_MM]
    by_brain = near[0] if near else from_heads
    if in_head is None:
        return by_brain, False
    brains = Optimizer.at_level(fixed, moving, NEAR_LEVELS[-1], Event(), brain)
    return by_brain, brains.similarity(in_head) >= ENOUGH_SIMILARITY * brains.similarity(by_brain)


def _initial_candidates(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Return the transforms from which the search begins."""
    candidates = []
    for method in (
        sitk.CenteredTransformInitializerFilter.MOMENTS,
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    ):
        centered = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), method)
        candidates += [_turned(sitk.Euler3DTransform(centered), turn) for turn in _small_turns(INITIAL_TURN_DEG)]
    return candidates


def _small_turns(degrees: float) -> np.ndarray:
    """Return no turn, and one to either side about each axis (7, 3), radians."""
    turns: np.ndarray = np.radians(degrees) * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    return turns


def _turned(transform: sitk.Euler3DTransform, turn: np.ndarray) -> sitk.Euler3DTransform:
    """Return a transform that first turns about its center, by angles (3,) in radians."""
    before = sitk.Euler3DTransform()
    before.SetRotation(*turn.tolist())
    turned = sitk.Euler3DTransform(transform)
    matrices = (np.reshape(each.GetMatrix(), (3, 3)) for each in (transform, before))
    turned.SetMatrix(np.matmul(*matrices).ravel().tolist(), 1e-6)
    return turned


def crop_near(moving: sitk.Image, fixed: sitk.Image, from_heads: sitk.Euler3DTransform) -> sitk.Image:
    """Return the part of the moving volume that the search near the heads can reach, with the air around it.

    The rest of a long field of view takes most of the time: the metric differentiates all of the moving volume.
    """
    last = np.array(fixed.GetSize()) - 0.5
    corners = [[last[axis] if number >> axis & 1 else -0.5 for axis in range(3)] for number in range(8)]
    reached = [
        moving.TransformPhysicalPointToContinuousIndex(
            from_heads.TransformPoint(fixed.TransformContinuousIndexToPhysicalPoint(corner))
        )
        for corner in corners
    ]
    margin = (NEAR_HEADS_MM + AIR_MARGIN_MM) / np.array(moving.GetSpacing())
    low = np.floor(np.min(reached, axis=0) - margin).clip(0).astype(int)
    high = np.ceil(np.max(reached, axis=0) + margin).astype(int) + 1
    size = np.minimum(high, moving.GetSize()) - low
    if (size < 2).any():  # the poses are far off: the search itself says so
        return moving
    part: sitk.Image = sitk.RegionOfInterest(moving, size.tolist(), low.tolist())
    return part


def _middle(image: sitk.Image) -> tuple[float, ...]:
    middle: tuple[float, ...] = image.TransformContinuousIndexToPhysicalPoint(
        [(count - 1) / 2 for count in image.GetSize()]
    )
    return middle
