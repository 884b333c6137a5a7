"""Whether a deformation helped, told from the volumes themselves, and what is kept of it where it did not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_transform, scale
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.measures import histogram_information
from BSAFusionLib.pipeline.report import Verdict

shares = np.linspace(0, 1, 9)  # of the deformation, tried as a whole
price = 0.015  # nats that all of the deformation must earn; a share of it, the share squared of that
spacing = 3.0  # mm, of the volumes that are compared
bins = 24  # a side of the joint histograms
window = 12.0  # mm, sigma along the slices of what is judged together
tolerance = 0.02  # nats that a part may lose before all of its deformation is taken away
features_tolerance = 0.05  # of the agreement of the network's features, likewise; losses and gains of both are added up


@dataclass(frozen=True)
class Features:
    """How well the network's modality-free features agree, a second witness beside mutual information.

    agreement: of a transform (fixed point -> moving point, mm, LPS) to a number a slice of `grid`; NaN where a slice
    shows nothing. grid: its third axis runs along the axis that is judged.
    """

    agreement: Callable[[sitk.Transform], np.ndarray]
    grid: sitk.Image


def keep_what_helps(
    field: sitk.Image,
    prealignment: sitk.Transform,
    fixed: sitk.Image,
    moving: sitk.Image,
    axis: int,
    features: Features | None = None,
) -> tuple[sitk.Image, Verdict]:
    """The field (fixed point + field, carried on by the pre-alignment; mm, LPS) less what does not help.

    fixed, moving: float32 in [0, 1], what the network sees of them. axis: the fixed volume's index axis across the
    slices that are judged. The whole is scaled by that one of `shares` which gives the most mutual information inside
    the fixed head, less its `price`: noise, and what two scans show differently, raise it a little, too. Then every
    slice, with those around it, is judged by itself, and the field taken back smoothly where its mutual information
    fell; where features are asked, what they lost or gained is counted in.
    """
    small_fixed, small_moving = downsample(fixed, spacing), downsample(moving, spacing)
    inside = np.moveaxis(sitk.GetArrayFromImage(head_mask(small_fixed)) > 0, 2 - axis, 0)
    reference = _binned(np.moveaxis(sitk.GetArrayFromImage(small_fixed), 2 - axis, 0))

    def histograms(share: float) -> np.ndarray:
        seen = sitk.Resample(
            small_moving, small_fixed, compose_transform(scale(field, share), prealignment), sitk.sitkLinear, 0.0
        )
        other = _binned(np.moveaxis(sitk.GetArrayFromImage(seen), 2 - axis, 0))
        return np.array(
            [
                np.bincount(bins * a[where] + b[where], minlength=bins**2).reshape(bins, bins)
                for a, b, where in zip(reference, other, inside, strict=True)
            ],
            dtype=float,
        )

    by_share = [histograms(share) for share in shares.tolist()]
    earned = [histogram_information(each.sum(axis=0)) for each in by_share] - price * shares**2
    best = int(earned.argmax())
    if best == 0:
        return scale(field, 0.0), Verdict(0.0, 100.0)
    sigma = window / small_fixed.GetSpacing()[axis]
    before, after = (
        np.array([histogram_information(joint) for joint in _smoothed(by_share[n], sigma)]) for n in (0, best)
    )
    gained = (after - before) / tolerance
    agreements: list[float] = []
    if features is not None:
        both = [
            features.agreement(each)
            for each in (prealignment, compose_transform(scale(field, shares[best]), prealignment))
        ]
        told = np.isfinite(both).all(axis=0)
        if told.any():
            agreements = [float(each[told].mean()) for each in both]
            change = _smoothed(both[1][told] - both[0][told], window / features.grid.GetSpacing()[2])
            places = _positions(features.grid, 2, small_fixed, axis)[told]
            gained += np.interp(np.arange(len(gained)), places, change / features_tolerance)
    kept = _smoothed(np.clip(1 + gained, 0, 1), sigma)
    shown = inside.any(axis=(1, 2))
    factors = np.interp(_positions(field, axis, small_fixed, axis), np.arange(len(kept)), shares[best] * kept)
    shape = [1, 1, 1, 1]
    shape[2 - axis] = -1
    verdict = Verdict(float(shares[best]), float(100 * np.mean(kept[shown] < 0.5)), *agreements)
    return scale(field, factors.reshape(shape)), verdict


def _binned(values: np.ndarray) -> np.ndarray:
    return np.clip((values * bins).astype(int), 0, bins - 1)


def _smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian of so many slices along the first axis; ends count as going on."""
    distance = np.arange(len(values))[:, None] - np.arange(len(values))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), values, 1)


def _positions(image: sitk.Image, own_axis: int, small: sitk.Image, axis: int) -> np.ndarray:
    """Where an image's slices across its `own_axis` lie along an axis in the smaller volume's index."""
    indices = np.zeros((image.GetSize()[own_axis], 3), int)
    indices[:, own_axis] = np.arange(len(indices))
    points = [image.TransformIndexToPhysicalPoint(index) for index in indices.tolist()]
    return np.array([small.TransformPhysicalPointToContinuousIndex(point)[axis] for point in points])
