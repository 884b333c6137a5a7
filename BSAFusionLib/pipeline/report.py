"""The figures of one run, as records that go to JSON and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from BSAFusionLib.pipeline.doubt import SecondOpinion
from BSAFusionLib.pipeline.measures import Displacement, RigidMotion
from BSAFusionLib.pipeline.summary import summary_text

NOTEWORTHY_BELOW = 0.7  # of the deformation; where a smaller fraction was applied, the user should know


@dataclass(frozen=True)
class Verdict:
    """Whether the result is doubtful, and how much of the network's deformation was applied.

    Attributes:
        kept: The fraction of it that gave the most mutual information of all slices, less the penalty; None where that
            was not checked.
        slices_damped: Percent of the slices in which less than half of that was applied, since their mutual
            information, or the agreement of the network's features, fell by more than the other rose; None likewise.
        agreement_before: Mean feature agreement of the slices with the initial transform; None where it was not
            measured. Greater is better.
        agreement_after: The same with that fraction.
        doubtful: True where the result should not be used before somebody has looked at it.
        reasons: Why it is doubtful, a sentence each.
        opinion: The evidence for that; None in reports of older versions.
    """

    kept: float | None = None
    slices_damped: float | None = None
    agreement_before: float | None = None
    agreement_after: float | None = None
    doubtful: bool = False
    reasons: tuple[str, ...] = ()
    opinion: SecondOpinion | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> "Verdict":
        """Rebuild a verdict from plain dictionaries and lists; older reports may have none, or lack some figures."""
        content = content or {}
        opinion = content.get("opinion")
        return cls(
            **{
                **content,
                "reasons": tuple(content.get("reasons", ())),
                "opinion": opinion and SecondOpinion(**opinion),
            }
        )

    def remarks(self) -> tuple[str, ...]:
        """Explain the fraction that was applied, a sentence each; nothing where most was."""
        if self.kept is None or self.slices_damped is None:
            return ()
        if self.kept == 0:
            return ("Applied none of the deformation, only the initial transform: it did not improve the similarity.",)
        remarks = []
        if self.kept < NOTEWORTHY_BELOW:
            remarks.append(f"Applied {100 * self.kept:.0f} % of the deformation: more did not improve the similarity.")
        if self.slices_damped > 0:
            remarks.append(
                f"Reduced the deformation in {self.slices_damped:.0f} % of the slices: their mutual information and "
                "feature agreement fell."
            )
        return tuple(remarks)


@dataclass(frozen=True)
class LandmarkError:
    """Distances in space between corresponding points of two lists, in mm."""

    mean_before: float
    largest_before: float
    mean_after: float
    largest_after: float

    @classmethod
    def between(cls, fixed: np.ndarray, before: np.ndarray, after: np.ndarray) -> "LandmarkError":
        """Measure the distances of points on the moving volume to those on the fixed volume.

        Args:
            fixed: (n, 3), mm, on the fixed volume.
            before: The same points on the moving volume, as it was placed, in the same coordinate system.
            after: These points after registration.
        """
        distances_mm = [np.linalg.norm(points - fixed, axis=1) for points in (before, after)]
        return cls(*(float(figure) for distance in distances_mm for figure in (distance.mean(), distance.max())))


@dataclass(frozen=True)
class ExpectedError:
    """How far off the registration is expected to be: means over regions of the fixed volume, in mm.

    Attributes:
        head: Inside the head.
        brain: Inside a ball around the brain's center; None where the head was not found by itself.
        skull_base: Inside the head, below that center; None likewise.
        largest: At the worst place of the head, or, where the head was found by itself, of the brain and near it; None
            in reports of older versions.
        largest_at: That place, mm towards right, anterior and superior, in the fixed volume's space.
        largest_in: The part of the head that it lies in, such as "lower left front".
        only_if_right: True where the result is doubtful: the figures are those of a right result, and tell nothing of
            how far off this one is.
    """

    head: float
    brain: float | None = None
    skull_base: float | None = None
    largest: float | None = None
    largest_at: tuple[float, float, float] | None = None
    largest_in: str = ""
    only_if_right: bool = False

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "ExpectedError":
        """Rebuild it from JSON; older reports lack the worst place."""
        place = content.get("largest_at")
        return cls(**{**content, "largest_at": place and tuple(place)})


@dataclass(frozen=True)
class Report:
    """The figures of one run.

    Mutual information is in nats, inside the head of the fixed volume, between the network inputs, corrected for the
    number of voxels.

    Attributes:
        modality: Of the moving volume.
        prealignment: Kind of the initial transform: "rigid", "none" or "given".
        slices: Number of slices that the network fused, across the first of the `axes`.
        axes: Index axes whose slices were registered.
        verdict: Whether the result is doubtful, and how much of the network's deformation was applied.
        mutual_information_before: Of the volumes as placed.
        mutual_information_prealigned: With the initial transform.
        mutual_information_after: With the total transform.
        displacement: By the total transform.
        network_displacement: What the network adds to the rigid transform, which it corrected.
        smallest_jacobian: Least Jacobian determinant of the total transform over the grid.
        percent_folded: Percent of voxels whose determinant is not above zero.
        device: Where the network ran.
        precision: As in `Settings`.
        weights: Name of the weights file.
        weights_sha256: Hash of its content.
        seconds: By stage, in the order in which the stages ran.
        warnings: What the user should know about the inputs and the run, a sentence each.
        details: Remarks that explain the figures, a sentence each.
        landmarks: Where lists of points were given.
        expected_error: Of the registration; None where the weights are not calibrated.
        motion: By the rigid transform, which the network corrected, or the given one; None in older reports.
        strength: As in `Settings`; None in older reports.
        do_no_harm: As in `Settings`; None in older reports.
    """

    modality: str
    prealignment: str
    slices: int
    axes: tuple[str, ...]
    verdict: Verdict
    mutual_information_before: float
    mutual_information_prealigned: float
    mutual_information_after: float
    displacement: Displacement
    network_displacement: Displacement
    smallest_jacobian: float
    percent_folded: float
    device: str
    precision: str
    weights: str
    weights_sha256: str
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    landmarks: LandmarkError | None = None
    expected_error: ExpectedError | None = None
    motion: RigidMotion | None = None
    strength: float | None = None
    do_no_harm: bool | None = None

    def __str__(self) -> str:
        return summary_text(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain dictionaries, lists, texts and numbers, ready for JSON."""
        content = {**asdict(self), "seconds": dict(self.seconds)}
        content["verdict"]["reasons"] = list(self.verdict.reasons)
        return {**content, "warnings": list(self.warnings), "details": list(self.details)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Report":
        """Rebuild a report from the content of `as_dict`, also when it comes from JSON."""
        landmarks, expected_error = content["landmarks"], content.get("expected_error")
        motion = content.get("motion")
        return cls(
            **{
                **content,
                "axes": tuple(content["axes"]),
                "verdict": Verdict.from_dict(content["verdict"]),
                "displacement": Displacement(**content["displacement"]),
                "network_displacement": Displacement(**content["network_displacement"]),
                "seconds": dict(content["seconds"]),
                "warnings": tuple(content["warnings"]),
                "details": tuple(content.get("details", ())),
                "landmarks": landmarks and LandmarkError(**landmarks),
                "expected_error": expected_error and ExpectedError.from_dict(expected_error),
                "motion": motion and RigidMotion(**{name: tuple(values) for name, values in motion.items()}),
            }
        )
