"""Finds the head in a volume, however it is turned and whatever else is in view."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from BSAFusionLib.errors import Cancelled
from BSAFusionLib.head_pose.channels import channels_of
from BSAFusionLib.head_pose.fit import Fit, fit_pose
from BSAFusionLib.head_pose.grid import Grid, head_grid, reduce, upright_grid
from BSAFusionLib.head_pose.network import HeadNetwork, Prediction

SURE_BRAIN_ML, SURE_RESIDUAL_MM, SURE_SPREAD_MM = 800.0, 2.8, 5.4  # a pose this good makes the other turns needless
FOUND_BRAIN_ML, FOUND_RESIDUAL_MM, FOUND_SPREAD_MM = 600.0, 5.0, 9.5  # less is taken for no head
SCORE_SCALE_MM = 8.0  # a pose's score falls by e for each residual, and each spread, of this size
REFINEMENTS = 2
WORSE = 0.8  # a refinement that scores lower than this share of what it refines is dropped
REFINED_CANDIDATES = 3  # of all turns and regions, the best first
WINDOW = 60  # voxels a side of the regions that a larger volume is searched in
BRAIN_REACH = 22  # voxels across most of a brain, within which a window's evidence is summed up
MAX_WINDOWS = 4  # 24 passes each take about 2 s of a CPU core


@dataclass(frozen=True)
class HeadPose:
    """Where a head lies in an image.

    Attributes:
        rotation: (3, 3) rotation from standard axes to image axes; LPS.
        translation: (3,) the brain's center in the image, mm LPS.
        scale: size of this head, relative to the standard head.
        brain_ml: volume of brain whose predicted place agrees with the pose within 15 mm.
        residual_mm: mean distance between predicted and fitted place there.
        spread_mm: mean error that the network itself expects there.
        turns: how many axis turns were looked at: 1 or 24.
        found: whether this is taken for a head.
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: float
    brain_ml: float
    residual_mm: float
    spread_mm: float
    turns: int
    found: bool

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map (N, 3) standard points to image points, mm LPS."""
        return self.scale * points @ self.rotation.T + self.translation


def rigid_between(fixed: HeadPose, moving: HeadPose) -> sitk.Euler3DTransform:
    """Return the rigid transform, fixed point to moving point in mm LPS, that lays one head on the other."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(fixed.translation.tolist())
    transform.SetMatrix((moving.rotation @ fixed.rotation.T).ravel().tolist(), 1e-6)
    transform.SetTranslation((moving.translation - fixed.translation).tolist())
    return transform


def axis_turns() -> list[tuple[tuple[int, int, int], tuple[int, ...]]]:
    """Return the 24 turns of a (D, H, W) array that a rotation can make: order of the axes, and which to flip.

    The first one leaves the array as it is.
    """
    turns = []
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        parity = np.linalg.det(np.eye(3)[list(order)]) * (-1) ** sum(flips)
        if parity > 0:
            turns.append((order, tuple(axis for axis, flip in enumerate(flips) if flip)))
    return turns


def find_head(
    image: sitk.Image,
    network: HeadNetwork,
    all_turns: bool | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> HeadPose:
    """Find the pose of the head in a volume.

    The volume is looked at as it lies; where that gives no sure pose, turned by all of the 24 axis turns, and a large
    one in parts, until one of them gives a sure pose.

    Args:
        image: a scalar volume; only its intensities and its geometry are used.
        network: as `load_head_network` returns it.
        all_turns: True looks at all turns in any case, False never; None where the pose as it lies is not sure.
        cancelled: asked before every turn and refinement.

    Returns:
        The pose, whose `found` says whether there is a head at all.

    Raises:
        Cancelled: `cancelled` said so.
    """
    reduced = reduce(image)
    grid = upright_grid(reduced)
    centers = torch.from_numpy(grid.cell_centers())
    upright = predict(network, channels_of(torch.from_numpy(grid.values)))
    best = refined(reduced, network, fit_prediction(upright, centers, grid.cell_ml), cancelled)
    if all_turns is False or (all_turns is None and is_sure(best)):
        return _pose(best, turns=1)
    fits = [best] if best is not None else []
    for region in regions(upright.brain_logit[0].sigmoid()):
        fits += _fits_in(region, network, grid, cancelled)
        fits = sorted(fits, key=score_of, reverse=True)[:REFINED_CANDIDATES]
        best = max((refined(reduced, network, fit, cancelled) for fit in fits), key=score_of, default=None)
        if is_sure(best):
            break
    return _pose(best, turns=24)


def _fits_in(
    region: tuple[slice, slice, slice],
    network: HeadNetwork,
    grid: Grid,
    cancelled: Callable[[], bool] | None,
) -> list[Fit]:
    """Return the poses found in a region of cells, in each of the 24 turns."""
    voxels = tuple(slice(2 * part.start, 2 * part.stop) for part in region)
    channels = channels_of(torch.from_numpy(grid.values[voxels]))
    centers = torch.from_numpy(grid.cell_centers()[(slice(None), *region)])
    fits = []
    for order, flips in axis_turns():
        if cancelled is not None and cancelled():
            raise Cancelled
        prediction = predict(network, turned(channels, order, flips))
        fit = fit_prediction(prediction, turned(centers, order, flips), grid.cell_ml)
        if fit is not None:
            fits.append(fit)
    return fits


def regions(brain: torch.Tensor) -> list[tuple[slice, slice, slice]]:
    """Return the parts that a volume is searched in: windows of about 360 mm, or the whole of a smaller one.

    The windows lie around the places where most within the reach of a brain looks like one.

    Args:
        brain: (D, H, W) probability of brain per cell.

    Returns:
        At most `MAX_WINDOWS` regions, the most promising first.
    """
    side, reach = WINDOW // 2, BRAIN_REACH // 2
    if max(brain.shape) <= side + 4:
        return [(slice(0, brain.shape[0]), slice(0, brain.shape[1]), slice(0, brain.shape[2]))]
    padded = F.pad(brain[None, None], [reach] * 6)  # here, since pooling takes no axis shorter than its kernel
    left = F.avg_pool3d(padded, 2 * reach + 1, stride=1)[0, 0]
    parts: list[tuple[slice, slice, slice]] = []
    while len(parts) < MAX_WINDOWS and left.max() > 0:
        place = np.unravel_index(int(left.argmax()), brain.shape)
        parts.append(tuple(_around(int(at), side, length) for at, length in zip(place, brain.shape, strict=True)))
        left[parts[-1]] = 0
    return parts


def _around(middle: int, side: int, length: int) -> slice:
    """Return the part of an axis around a cell, moved inward at an end; all of an axis that is hardly longer."""
    if length <= side + 4:
        return slice(0, length)
    first = min(max(middle - side // 2, 0), length - side)
    return slice(first, first + side)


def refined(
    reduced: sitk.Image, network: HeadNetwork, fit: Fit | None, cancelled: Callable[[], bool] | None = None
) -> Fit | None:
    """Look again at a head, upright and nearer to the standard size; go on from a look that agrees about as well.

    Raises:
        Cancelled: `cancelled` said so.
    """
    for _ in range(REFINEMENTS):
        if fit is None:
            return None
        if cancelled is not None and cancelled():
            raise Cancelled
        # Half of the size's correction: a size that is overestimated must not feed itself.
        grid = head_grid(reduced, fit.rotation, fit.scale**0.5, fit.shift)
        prediction = predict(network, channels_of(torch.from_numpy(grid.values)), mirror=True)
        other = fit_prediction(prediction, torch.from_numpy(grid.cell_centers()), grid.cell_ml)
        if score_of(other) < WORSE * score_of(fit):
            break
        fit = other
    return fit


def turned(values: torch.Tensor, order: tuple[int, ...], flips: tuple[int, ...]) -> torch.Tensor:
    """Turn a (C, D, H, W) tensor: permute its axes, then flip."""
    permuted = values.permute(0, *(axis + 1 for axis in order))
    return permuted.flip([axis + 1 for axis in flips]).contiguous()


@torch.inference_mode()
def predict(network: HeadNetwork, channels: torch.Tensor, mirror: bool = False) -> Prediction:
    """Run the network on one volume's channels (3, D, H, W); with its mirror image, where asked."""
    if not mirror:
        return network(channels[None])
    # Both at once: PyTorch convolves a small volume alone by another, slower way, three times as long for the two.
    both = network(torch.stack([channels, channels.flip(-1)]))
    to_right = torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1, 1)

    def mean(values: torch.Tensor, sign: torch.Tensor | float = 1.0) -> torch.Tensor:
        return (values[:1] + sign * values[1:].flip(-1)) / 2

    return Prediction(mean(both.brain_logit), mean(both.coordinate, to_right), mean(both.log_spread))


def score_of(fit: Fit | None) -> float:
    """Return the agreeing brain volume in ml, damped by the residual and by the spread."""
    if fit is None:
        return 0.0
    return fit.agreeing * float(np.exp(-(fit.residual_mm + fit.spread_mm) / SCORE_SCALE_MM))


def is_sure(fit: Fit | None) -> bool:
    """Return True for a pose so good that no other turn has to be looked at."""
    return (
        fit is not None
        and fit.agreeing > SURE_BRAIN_ML
        and fit.residual_mm < SURE_RESIDUAL_MM
        and fit.spread_mm < SURE_SPREAD_MM
    )


def fit_prediction(prediction: Prediction, centers: torch.Tensor, cell_ml: float) -> Fit | None:
    """Fit the pose to a prediction for one volume.

    Args:
        prediction: of one volume.
        centers: (3, D, H, W) where its cells lie, (x, y, z) in mm LPS.
        cell_ml: volume of a cell.

    Returns:
        The fit, whose `agreeing` is in ml; None where nothing looks like brain.
    """
    fit = fit_pose(
        prediction.coordinate[0].flatten(1).T.numpy(),
        centers.flatten(1).T.numpy(),
        prediction.brain_logit[0].sigmoid().flatten().numpy(),
        3 * prediction.log_spread[0].exp().flatten().numpy(),
    )
    return None if fit is None else replace(fit, agreeing=fit.agreeing * cell_ml)


def _pose(fit: Fit | None, turns: int) -> HeadPose:
    if fit is None:
        return HeadPose(np.eye(3), np.zeros(3), 1.0, 0.0, float("inf"), float("inf"), turns, found=False)
    found = fit.agreeing >= FOUND_BRAIN_ML and fit.residual_mm <= FOUND_RESIDUAL_MM and fit.spread_mm <= FOUND_SPREAD_MM
    return HeadPose(fit.rotation, fit.shift, fit.scale, fit.agreeing, fit.residual_mm, fit.spread_mm, turns, found)
