"""Karhunen-Loeve modes of smooth random displacements, for the prior of the network and of the volume."""

from typing import NamedTuple

import numpy as np

STRENGTH_FLOOR = 5e-3  # modes that vary less than this fraction of the strongest are left out


class Modes(NamedTuple):
    """The strong modes along one axis.

    Attributes:
        values: (place, mode), of unit variance in all.
        strengths: (mode,), the eigenvalues, ascending.
    """

    values: np.ndarray
    strengths: np.ndarray


def smooth_modes(length: float, places: np.ndarray, sigma: float) -> Modes:
    """Compute the strong modes of white noise that a Gaussian of `sigma` has smoothed, along one axis.

    Such noise has the covariance exp(-d^2 / (4 sigma^2)). Its eigenvectors are computed on a lattice of two nodes a
    sigma and carried to the places by Nystroem's method (Rasmussen and Williams, Gaussian Processes for Machine
    Learning, 2006, section 4.3.2).

    Args:
        length: Of the axis, in mm or pixels.
        places: (place,) at which to compute the modes, in the same unit from the beginning of the axis.
        sigma: In the same unit.

    Returns:
        The modes whose strength is above `STRENGTH_FLOOR`, float64.
    """
    lattice = cell_centers(length, int(np.ceil(2 * length / sigma)))
    strengths, vectors = np.linalg.eigh(_covariance(lattice, lattice, sigma))
    strong = strengths > STRENGTH_FLOOR * strengths[-1]
    values = _covariance(places, lattice, sigma) @ vectors[:, strong] / np.sqrt(strengths[strong])
    return Modes(values, strengths[strong])


def strong_products(first: Modes, second: Modes) -> tuple[np.ndarray, np.ndarray]:
    """Select the products of two axes' modes whose strength is above `STRENGTH_FLOOR`.

    Returns:
        The indices of their modes along the first and along the second axis, both (product,).
    """
    strengths = first.strengths[:, None] * second.strengths
    rows, columns = np.nonzero(strengths > STRENGTH_FLOOR * strengths.max())
    return rows, columns


def cell_centers(length: float, count: int) -> np.ndarray:
    """Return the centers of `count` equal parts of an axis (count,), in the unit of its length."""
    return (np.arange(count) + 0.5) * (length / count)


def _covariance(a: np.ndarray, b: np.ndarray, sigma: float) -> np.ndarray:
    covariance: np.ndarray = np.exp(-(((a[:, None] - b) / (2 * sigma)) ** 2))
    return covariance
