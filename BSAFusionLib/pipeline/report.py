"""What was measured on one case."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from BSAFusionLib.pipeline.measures import Displacement

LEAST_KEPT_UNSAID = 0.7  # of the deformation; where less was kept, the user is told


@dataclass(frozen=True)
class Verdict:
    """What was kept of the network's deformation.

    kept: share of it that gave the most mutual information, less the price, of all slices together. slices_damped:
    percent of the slices in which less than half of that was kept, since their own mutual information, or the agreement
    of the network's features, fell by more than the other rose. agreement_before, agreement_after: the mean of that
    agreement over the slices, at the start and with that share, where it was asked for; greater is better.
    """

    kept: float
    slices_damped: float
    agreement_before: float | None = None
    agreement_after: float | None = None

    def remark(self) -> str | None:
        """What the user should know of it, in a sentence; None where most was kept."""
        if self.kept == 0:
            return "The deformation hardly raised the mutual information, so only the pre-alignment was kept."
        parts = []
        if self.kept < LEAST_KEPT_UNSAID:
            parts.append(
                f"only {100 * self.kept:.0f} % of the deformation was kept, for more of it would hardly have raised "
                "the mutual information"
            )
        if self.slices_damped > 0:
            parts.append(
                f"in {self.slices_damped:.0f} % of the slices it was taken back, for there mutual information and the "
                "agreement of the network's features fell"
            )
        sentence = " and ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}." if parts else None


@dataclass(frozen=True)
class LandmarkError:
    """Distances in the world, mm, between the points of two lists, the first with the first and so on."""

    mean_before: float
    largest_before: float
    mean_after: float
    largest_after: float


@dataclass(frozen=True)
class Report:
    """The figures of one run.

    Mutual information is in nats, inside the head of the fixed volume, between what the network sees of both volumes:
    as they were placed, after the pre-alignment, and after all. `displacement` is the total one, `network_displacement`
    what the network adds to the pre-alignment. The Jacobian determinant is the total transform's, over the whole grid;
    a voxel where it is not above zero is folded. `seconds` goes by stage, in the order in which the stages ran.
    `slices` of the first of the `axes` were fused, those of all of them registered; `verdict` says what was kept of the
    network's deformation, where that was asked. `landmarks` are there where lists of points were given.
    """

    modality: str
    prealignment: str
    slices: int
    axes: tuple[str, ...]
    verdict: Verdict | None
    mutual_information_before: float
    mutual_information_prealigned: float
    mutual_information_after: float
    displacement: Displacement
    network_displacement: Displacement
    smallest_jacobian: float
    percent_folded: float
    device: str
    precision: str  # as in Settings
    weights: str
    weights_sha256: str
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    landmarks: LandmarkError | None = None

    def as_dict(self) -> dict:
        """The same as plain dictionaries, lists, texts and numbers, ready for JSON."""
        return {**asdict(self), "seconds": dict(self.seconds), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Report":
        """Rebuild a report from what `as_dict` gave, or from that as JSON."""
        verdict, landmarks = content["verdict"], content["landmarks"]
        return cls(
            **{
                **content,
                "axes": tuple(content["axes"]),
                "verdict": verdict and Verdict(**verdict),
                "displacement": Displacement(**content["displacement"]),
                "network_displacement": Displacement(**content["network_displacement"]),
                "seconds": dict(content["seconds"]),
                "warnings": tuple(content["warnings"]),
                "landmarks": landmarks and LandmarkError(**landmarks),
            }
        )
