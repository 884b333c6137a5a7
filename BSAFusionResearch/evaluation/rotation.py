"""Our network, alone and after a rigid start, on slices that also lie turned to each other by a large angle."""

import numpy as np
import SimpleITK as sitk
import torch

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionResearch.evaluation.simulated import unaligned_pairs
from BSAFusionResearch.training.slice_pairs import SlicePairs

degrees = 20.0  # one way and the other in turn
most = 20  # pairs, evenly spread
titles = {"rotated_end_point_error": "end-point error in the head, pixels"}
versions = ("before", "ours", "prealigned", "prealigned_ours")
start_turns = (-24.0, -12.0, 0.0, 12.0, 24.0)  # degrees
kept = 2  # of the starts
air = 30  # pixels around the moving slice
around = 12  # pixels around the fixed head that count


@torch.inference_mode()
def measure(network: FusionNetwork, pairs: SlicePairs) -> dict[str, dict[str, np.ndarray]]:
    """The end-point error in pixels inside the head for each pair, (N,): as the slices came, after the network alone,
    after the rigid start alone, and after both.

    The moving slice is deformed as in training and then turned by 20 degrees about the middle: x goes to R(x + e(x)).
    """
    device = next(network.parameters()).device
    errors: dict[str, list[float]] = {version: [] for version in versions}
    for number, made in enumerate(unaligned_pairs(pairs, device, most)):
        fixed, moving = (sitk.GetImageFromArray(images[0, 0].cpu().numpy()) for images in (made.fixed, made.moving))
        turn = sitk.Euler2DTransform()
        turn.SetCenter([(side - 1) / 2 for side in fixed.GetSize()])
        turn.SetAngle(np.radians(degrees if number % 2 == 0 else -degrees))
        turned = sitk.Resample(moving, turn.GetInverse(), sitk.sitkLinear, 0.0)
        found = prealign_slices(fixed, turned)

        no_field = np.zeros(made.field.shape[1:], np.float32)
        identity = sitk.Euler2DTransform()
        truth = points(turn, made.field[0].cpu().numpy())
        carried = (
            points(identity, no_field),
            points(identity, _field_of(network, made.fixed, turned)),
            points(found, no_field),
            points(found, _field_of(network, made.fixed, sitk.Resample(turned, found, sitk.sitkLinear, 0.0))),
        )
        head = made.inside[0, 0].cpu().numpy() > 0
        for version, where in zip(versions, carried, strict=True):
            errors[version].append(float(np.linalg.norm(where - truth, axis=0)[head].mean()))
    return {"rotated_end_point_error": {version: np.array(each) for version, each in errors.items()}}


def points(rigid: sitk.Euler2DTransform, field: np.ndarray) -> np.ndarray:
    """Where rigid(x + field(x)) carries every pixel x; field (2, H, W) in pixels, as is what returns."""
    rows, columns = np.mgrid[: field.shape[1], : field.shape[2]]
    matrix = np.array(rigid.GetMatrix()).reshape(2, 2)
    offset = np.array(rigid.TransformPoint((0.0, 0.0)))
    return np.einsum("ij,jrc->irc", matrix, np.stack([columns, rows]) + field) + offset[:, None, None]


def prealign_slices(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler2DTransform:
    """The turn and shift in the plane, fixed point -> moving point, of most mutual information in the fixed head.

    What `prealign_rigidly` does with volumes: starts from centres of mass and from the middles, upright and turned, the
    best ones refined, the moving slice amid air. fixed, moving: float32 in [0, 1], a pixel of 1.
    """
    initial = [
        sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler2DTransform(), how)
        for how in (sitk.CenteredTransformInitializerFilter.MOMENTS, sitk.CenteredTransformInitializerFilter.GEOMETRY)
    ]
    starts = []
    for transform in initial:
        for turn in start_turns:
            start = sitk.Euler2DTransform(transform)
            start.SetAngle(np.radians(turn))
            starts.append(start)
    amid_air = sitk.ConstantPad(moving, [air, air], [air, air], 0.0)
    for shrink, step, keep in ((4, 4.0, kept), (2, 2.0, 1)):
        found = [_refined(fixed, amid_air, start, shrink, step) for start in starts]
        starts = [transform for _, transform in sorted(found, key=lambda each: each[0])[:keep]]
    return starts[0]


def _field_of(network: FusionNetwork, fixed: torch.Tensor, moving: sitk.Image) -> np.ndarray:
    """The network's field (2, H, W); fixed (1, 1, H, W) on its device."""
    slices = torch.from_numpy(sitk.GetArrayFromImage(moving)).to(fixed.device)[None, None]
    return network(fixed, slices, False).field[0].cpu().numpy()


def _refined(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler2DTransform, shrink: int, step: float
) -> tuple[float, sitk.Euler2DTransform]:
    """The best transform near `start` at one resolution, and its negative mutual information."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in one order, so that every machine finds the same
    method.SetMetricAsMattesMutualInformation(32)
    head = sitk.SmoothingRecursiveGaussian(fixed, 3.0) > 0.04
    method.SetMetricFixedMask(sitk.BinaryDilate(head, (around, around)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([shrink])
    method.SetSmoothingSigmasPerLevel([shrink / 2])
    method.SetOptimizerAsRegularStepGradientDescent(step, 0.01, 100, 0.8, 1e-6)
    method.SetOptimizerScales([60.0**2, 1.0, 1.0])  # one radian counts as much as 60 pixels, a head's mean radius
    transform = sitk.Euler2DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return method.GetMetricValue(), transform
