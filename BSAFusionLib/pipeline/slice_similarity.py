"""Measure the similarity of both volumes slice by slice: the figures that the verdict needs."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.fields import compose_transform, scale
from BSAFusionLib.geometry.grids import downsample
from BSAFusionLib.pipeline.case import LoadedNetwork
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.network_input import NetworkInput
from BSAFusionLib.pipeline.verdict import AgreementFigures, SliceFigures

SPACING_MM = 3.0  # of the volumes that are compared
BINS = 24  # of a side of the joint histograms


class SliceSimilarity:
    """Compares both volumes in the slices across one axis.

    Attributes:
        grid: The coarse grid over the fixed volume whose slices are compared (mm, LPS).
    """

    def __init__(self, network_input: NetworkInput, axis: int) -> None:
        """Prepare to compare two volumes.

        Args:
            network_input: Both volumes.
            axis: Index axis of the fixed volume across the slices.
        """
        self.grid, self._moving = (downsample(image, SPACING_MM) for image in network_input)
        self._axis, self._network_input = axis, network_input
        self._inside = self._by_slice(head_mask(self.grid)) > 0
        self._fixed_bins = _binned(self._by_slice(self.grid))

    def figures(self, field: sitk.Image, initial: sitk.Transform, fractions: Sequence[float]) -> SliceFigures:
        """Measure the similarity for fractions of a deformation.

        Args:
            field: Displacements that precede the initial transform, mm, LPS.
            initial: Fixed point to moving point, mm, LPS.
            fractions: Of the field.
        """
        transforms = (compose_transform(scale(field, fraction), initial) for fraction in fractions)
        return SliceFigures(
            np.array([self._histograms(transform) for transform in transforms]),
            np.array([inside.any() for inside in self._inside]),
            self.grid.GetSpacing()[self._axis],
        )

    def agreement(self, network: LoadedNetwork, before: sitk.Transform, after: sitk.Transform) -> AgreementFigures:
        """Measure how well the network's features agree on the slices that it registers.

        Args:
            network: The network.
            before: Fixed point to moving point, mm, LPS.
            after: Likewise.
        """
        slices = self._network_input.registration_grid(self._axis, network.size)
        agreement_before, agreement_after = (
            network.runner.agreement(self._network_input.stack(slices, transform)) for transform in (before, after)
        )
        return AgreementFigures(agreement_before, agreement_after, self.positions(slices, 2), slices.GetSpacing()[2])

    def positions(self, image: sitk.Image, axis: int) -> np.ndarray:
        """Return where an image's slices across one of its axes lie, in slices of `grid`."""
        indices = np.zeros((image.GetSize()[axis], 3), int)
        indices[:, axis] = np.arange(len(indices))
        points = [image.TransformIndexToPhysicalPoint(index) for index in indices.tolist()]
        return np.array([self.grid.TransformPhysicalPointToContinuousIndex(point)[self._axis] for point in points])

    def scale_slices(self, field: sitk.Image, factors: np.ndarray) -> sitk.Image:
        """Scale a field slice by slice.

        Args:
            field: On a grid with the fixed volume's axes, mm, LPS.
            factors: (slice,) of `grid`; interpolated linearly in between.
        """
        field_factors = np.interp(self.positions(field, self._axis), np.arange(len(factors)), factors)
        shape = [1, 1, 1, 1]
        shape[2 - self._axis] = -1
        return scale(field, field_factors.reshape(shape))

    def _histograms(self, transform: sitk.Transform) -> np.ndarray:
        """Count the joint histograms inside the head (slice, bin, bin)."""
        moved = sitk.Resample(self._moving, self.grid, transform, sitk.sitkLinear, 0.0)
        pairs = zip(self._fixed_bins, _binned(self._by_slice(moved)), self._inside, strict=True)
        counts = [
            np.bincount(BINS * fixed[inside] + moving[inside], minlength=BINS**2).reshape(BINS, BINS)
            for fixed, moving, inside in pairs
        ]
        return np.array(counts, dtype=float)

    def _by_slice(self, image: sitk.Image) -> np.ndarray:
        """Return the voxels with the axis across the slices first."""
        slices: np.ndarray = np.moveaxis(sitk.GetArrayFromImage(image), 2 - self._axis, 0)
        return slices


def _binned(values: np.ndarray) -> np.ndarray:
    """Return the histogram bins of values in [0, 1]."""
    bins: np.ndarray = np.clip((values * BINS).astype(int), 0, BINS - 1)
    return bins
