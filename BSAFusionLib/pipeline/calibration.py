"""How far the evidence of one modality can be trusted: values fitted on simulated patients, stored with the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from BSAFusionLib.errors import FusionError

PIXELS_PER_SIGMA = 16.0  # smoothness of the deformations that the network was trained on
# Expected length of a normal vector with equal variances, over the root of its expected square: sqrt(8 / (3 pi)).
LENGTH_PER_RMS = float(np.sqrt(8 / (3 * np.pi)))


class Amplitudes(NamedTuple):
    """Standard deviations of each component of the three parts of a displacement, in mm.

    Attributes:
        shift: Of the constant part.
        linear: Of the linear part (turn, stretch, shear), 64 mm from the middle of the volume.
        elastic: Of the smooth rest.
    """

    shift: float
    linear: float
    elastic: float


@dataclass(frozen=True)
class Calibration:
    """What the evidence of one modality is worth.

    The network is taken to report `slope` times the displacement, plus a smooth error, plus an error that is
    independent from cell to cell.

    Attributes:
        trust: Fraction of the reported precision that holds for the independent error; neighboring cells, slices and
            axes show much the same.
        sigma_mm: Smoothness of the elastic part: white noise smoothed by a Gaussian of this width.
        expected: Usual amplitudes of the displacement that the rigid initialization leaves.
        spread: Standard deviation of the logarithm of a case's amplitudes around the usual ones; at 0 they are fixed.
        error: Amplitudes of the smooth error.
        slope: Of what is reported against what is true.
        relative_error: Further amplitude of the elastic smooth error, as a fraction of the elastic displacement's.
        length_scale: Expected length of the error in mm where the model says 1 mm, if the power holds there.
        length_exponent: Power of the model's length that the expected length rises with.
        length_limit: Model's length in mm up to which the power holds; beyond, the expected length rises in proportion.
    """

    trust: float
    sigma_mm: float
    expected: Amplitudes
    spread: Amplitudes
    error: Amplitudes
    slope: float = 1.0
    relative_error: float = 0.0
    length_scale: float = 1.0
    length_exponent: float = 1.0
    length_limit: float = 1000.0

    def expected_lengths(self, modeled: np.ndarray) -> np.ndarray:
        """Return the expected lengths of the error from those of the model, mm; both have any shape.

        The model takes small errors for larger than they are. A power of its lengths up to a limit, fitted on simulated
        patients, corrects that and leaves their order as it is.
        """
        beyond = np.maximum(modeled / self.length_limit, 1)
        lengths: np.ndarray = self.length_scale * (modeled / beyond) ** self.length_exponent * beyond
        return lengths

    def as_dict(self) -> dict[str, Any]:
        """Return the values as they stand in a card."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value._asdict() if isinstance(value, Amplitudes) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Calibration":
        """Rebuild a calibration from the content of `as_dict`.

        Raises:
            FusionError: A value is missing, unknown or out of its range.
        """
        try:
            values: dict[str, Any] = {
                name: Amplitudes(**value) if isinstance(value, Mapping) else float(value)
                for name, value in content.items()
            }
            calibration = cls(**values)
            lengths = [calibration.length_scale, calibration.length_exponent, calibration.length_limit]
            positive = [calibration.trust, calibration.sigma_mm, calibration.slope, *calibration.expected, *lengths]
            others = [*calibration.spread, *calibration.error, calibration.relative_error]
            valid = min(positive) > 0 and min(others) >= 0
        except (TypeError, ValueError) as error:
            raise FusionError(f"The calibration in the card of the weights is invalid ({error}).") from error
        if not valid:
            raise FusionError("The calibration in the card of the weights has values out of range; get the card again.")
        return calibration


def read_calibration(card: Mapping[str, Any] | None, modality: str) -> Calibration | None:
    """Return the calibration for a modality from the card of weights; None where there is none.

    Raises:
        FusionError: It is damaged.
    """
    content = ((card or {}).get("calibration") or {}).get(modality)
    return None if content is None else Calibration.from_dict(content)


def uncalibrated(pixel_mm: float) -> Calibration:
    """Return cautious values for weights without a calibration, set by hand.

    Args:
        pixel_mm: Of the registered slices.
    """
    usual = Amplitudes(0.7, 0.7, 0.7)
    none = Amplitudes(0.0, 0.0, 0.0)
    return Calibration(trust=0.1, sigma_mm=PIXELS_PER_SIGMA * pixel_mm, expected=usual, spread=none, error=none)
