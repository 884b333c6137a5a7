"""The evidence from slices of one or more axes as sums over the functions of a smooth displacement."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.network.stack import Evidence
from BSAFusionLib.pipeline.lattice_evidence import evidence_on_lattice
from BSAFusionLib.pipeline.smooth_basis import SmoothBasis


class Observed(NamedTuple):
    """The evidence as sums over functions of place; coefficients are ordered (component, function), flat.

    Attributes:
        basis: The functions.
        information: Its precision (coefficient, coefficient), as reported.
        weighted: Precision times mean (coefficient,).
    """

    basis: SmoothBasis
    information: np.ndarray
    weighted: np.ndarray

    def strongest(self, floor: float) -> "Observed":
        """Keep the functions whose strength is above a fraction of the strongest mode's."""
        basis = self.basis.strongest(floor)
        kept = np.tile(self.basis.strengths > floor, 3)
        return Observed(basis, self.information[np.ix_(kept, kept)], self.weighted[kept])


def observe(evidence: Sequence[Evidence], fixed: sitk.Image, sigma: Sequence[float]) -> Observed:
    """Sum the evidence over the functions of a smooth displacement.

    Args:
        evidence: Of the slices of one or more axes.
        fixed: The fixed volume.
        sigma: Smoothness along each of its index axes, mm.
    """
    cells = evidence_on_lattice(evidence, fixed)
    basis = SmoothBasis.over(np.multiply(fixed.GetSize(), fixed.GetSpacing()), sigma)
    return observe_cells(basis, cells.places, cells.weighted_mean, cells.precision)


def observe_cells(
    basis: SmoothBasis, places: Sequence[np.ndarray], weighted_mean: np.ndarray, precision: np.ndarray
) -> Observed:
    """Sum evidence on a lattice over the functions of a basis; the arguments are those of `LatticeEvidence`."""
    axes = basis.along(places)
    information = np.zeros((3, basis.size, 3, basis.size))
    for first in range(3):
        for second in range(first, 3):
            block = basis.gram(precision[first, second], axes)
            information[first, :, second], information[second, :, first] = block, block
    size = 3 * basis.size
    return Observed(basis, information.reshape(size, size), basis.project(weighted_mean, axes).ravel())
