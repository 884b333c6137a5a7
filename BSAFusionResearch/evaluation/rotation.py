"""Measure the network, alone and after a rigid initialization, on slices that are also turned by a large angle."""

import numpy as np
import SimpleITK as sitk
import torch

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionResearch.evaluation.simulated import unaligned_pairs
from BSAFusionResearch.training.slice_pairs import SlicePairs

TURN_DEGREES = 20.0
"""Angle of the turn, in alternating directions."""

MAX_PAIRS = 20
"""Upper bound of the pairs, evenly spread."""

TITLES = {"rotated_end_point_error": "end-point error in the head, pixels"}
VERSIONS = ("before", "ours", "prealigned", "prealigned_ours")

INITIAL_TURNS_DEGREES = (-24.0, -12.0, 0.0, 12.0, 24.0)
CANDIDATES_KEPT = 2
AIR_PX = 30
"""Border of air around the moving slice, so that the metric counts as many points at every shift."""

HEAD_MARGIN_PX = 12
"""Border around the fixed head in which the metric counts."""

HEAD_RADIUS_PX = 60.0
"""Mean radius of a head: one radian counts as much as a shift of this length."""


@torch.inference_mode()
def measure(network: FusionNetwork, pairs: SlicePairs) -> dict[str, dict[str, np.ndarray]]:
    """Measure the mean end-point error inside the head of each pair, in pixels.

    The moving slice is deformed as in training and then turned about its center: x goes to R(x + e(x)).

    Returns:
        By measure and version, values (N,): `before` any registration, `ours` by the network alone, `prealigned` by the
        rigid initialization alone, and `prealigned_ours` by both.
    """
    device = next(network.parameters()).device
    errors: dict[str, list[float]] = {version: [] for version in VERSIONS}
    for number, made in enumerate(unaligned_pairs(pairs, device, MAX_PAIRS)):
        fixed, moving = (sitk.GetImageFromArray(images[0, 0].cpu().numpy()) for images in (made.fixed, made.moving))
        turn = sitk.Euler2DTransform()
        turn.SetCenter([(side - 1) / 2 for side in fixed.GetSize()])
        turn.SetAngle(np.radians(TURN_DEGREES if number % 2 == 0 else -TURN_DEGREES))
        turned = sitk.Resample(moving, turn.GetInverse(), sitk.sitkLinear, 0.0)
        initial = prealign_slices(fixed, turned)

        no_field = np.zeros(made.field.shape[1:], np.float32)
        identity = sitk.Euler2DTransform()
        truth = points(turn, made.field[0].cpu().numpy())
        estimated = (
            points(identity, no_field),
            points(identity, _field_of(network, made.fixed, turned)),
            points(initial, no_field),
            points(initial, _field_of(network, made.fixed, sitk.Resample(turned, initial, sitk.sitkLinear, 0.0))),
        )
        head = made.inside[0, 0].cpu().numpy() > 0
        for version, carried in zip(VERSIONS, estimated, strict=True):
            errors[version].append(float(np.linalg.norm(carried - truth, axis=0)[head].mean()))
    return {"rotated_end_point_error": {version: np.array(values) for version, values in errors.items()}}


def points(rigid: sitk.Euler2DTransform, field: np.ndarray) -> np.ndarray:
    """Return rigid(x + field(x)) for every pixel x, (2, H, W) in pixels, columns first, like `field`."""
    rows, columns = np.mgrid[: field.shape[1], : field.shape[2]]
    matrix = np.array(rigid.GetMatrix()).reshape(2, 2)
    offset = np.array(rigid.TransformPoint((0.0, 0.0)))
    return np.einsum("ij,jrc->irc", matrix, np.stack([columns, rows]) + field) + offset[:, None, None]


def prealign_slices(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler2DTransform:
    """Estimate the rigid transform in the plane, fixed point -> moving point, as the pipeline does with volumes.

    Candidates start from the centers of mass and from the centers of the slices, upright and turned; the best ones are
    refined by mutual information inside the fixed head.

    Args:
        fixed: Fixed slice, float32 in [0, 1], pixels of 1.
        moving: Moving slice, likewise.
    """
    candidates = []
    for how in (sitk.CenteredTransformInitializerFilter.MOMENTS, sitk.CenteredTransformInitializerFilter.GEOMETRY):
        centered = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler2DTransform(), how)
        for turn in INITIAL_TURNS_DEGREES:
            candidate = sitk.Euler2DTransform(centered)
            candidate.SetAngle(np.radians(turn))
            candidates.append(candidate)
    in_air = sitk.ConstantPad(moving, [AIR_PX, AIR_PX], [AIR_PX, AIR_PX], 0.0)
    for shrink, step_px, keep in ((4, 4.0, CANDIDATES_KEPT), (2, 2.0, 1)):
        refined = [_refined(fixed, in_air, candidate, shrink, step_px) for candidate in candidates]
        candidates = [transform for _, transform in sorted(refined, key=lambda pair: pair[0])[:keep]]
    return candidates[0]


def _field_of(network: FusionNetwork, fixed: torch.Tensor, moving: sitk.Image) -> np.ndarray:
    """Return the network's field (2, H, W) in pixels; `fixed` is (1, 1, H, W) on its device."""
    slices = torch.from_numpy(sitk.GetArrayFromImage(moving)).to(fixed.device)[None, None]
    return network(fixed, slices, False).field[0].cpu().numpy()


def _refined(
    fixed: sitk.Image, moving: sitk.Image, initial: sitk.Euler2DTransform, shrink: int, step_px: float
) -> tuple[float, sitk.Euler2DTransform]:
    """Return the negative mutual information and the best transform near `initial` at one resolution."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # adds up in one order, so that every machine gets the same result
    method.SetMetricAsMattesMutualInformation(32)
    head = sitk.SmoothingRecursiveGaussian(fixed, 3.0) > 0.04
    method.SetMetricFixedMask(sitk.BinaryDilate(head, (HEAD_MARGIN_PX, HEAD_MARGIN_PX)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([shrink])
    method.SetSmoothingSigmasPerLevel([shrink / 2])
    method.SetOptimizerAsRegularStepGradientDescent(step_px, 0.01, 100, 0.8, 1e-6)
    method.SetOptimizerScales([HEAD_RADIUS_PX**2, 1.0, 1.0])
    transform = sitk.Euler2DTransform(initial)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return method.GetMetricValue(), transform
