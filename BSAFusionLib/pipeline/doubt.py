"""Decide whether a result is doubtful: figures in, decision out."""

from dataclasses import dataclass
from typing import NamedTuple

POSE_GAP_MM, POSE_GAP_DEG = 12.0, 15.0  # between the result and the images' own poses; these are off by up to 7 mm
LEAST_CONTRAST = 1.25  # of the mutual information to that of random poses
LEAST_CONTRAST_WITHOUT_HEAD = 2.0  # the same where an image shows no head that could be compared
LEAST_OVERLAP = 0.5
LEAST_GAIN = 0.9  # of the mutual information to that of the volumes as placed


@dataclass(frozen=True)
class SecondOpinion:
    """Evidence on a result that the registration did not choose it by.

    Attributes:
        fixed_head: True where a head was found in the fixed volume.
        moving_head: The same for the moving volume.
        pose_gap_mm: Mean distance in the brain between the result and the motion between both heads' own poses; None
            where a head was not found.
        pose_gap_deg: Angle between their rotations; None likewise.
        overlap: Share of the smaller head that lies in the other one, within both fields of view.
        information: Mutual information in nats of the coarse volumes inside the fixed head, with the result.
        information_placed: The same as placed.
        information_random: Its mean over random poses.
        turned_axis: Axis about which the moving head is turned by about 180 degrees against what its file says, "x",
            "y" or "z" of LPS; "other" for another turn by 90 degrees or more; "" for none.
    """

    fixed_head: bool
    moving_head: bool
    pose_gap_mm: float | None
    pose_gap_deg: float | None
    overlap: float
    information: float
    information_placed: float
    information_random: float
    turned_axis: str = ""


class Doubt(NamedTuple):
    """The decision: whether the result is doubtful, and why, a sentence each."""

    doubtful: bool
    reasons: tuple[str, ...]


def judge(opinion: SecondOpinion) -> Doubt:
    """Decide whether a result is doubtful, and say why."""
    reasons = (*_no_head(opinion), *_apart(opinion), *_dissimilar(opinion))
    return Doubt(bool(reasons), reasons)


def _no_head(opinion: SecondOpinion) -> list[str]:
    if opinion.fixed_head and opinion.moving_head:
        return []
    if opinion.fixed_head or opinion.moving_head:
        missing = "moving" if opinion.fixed_head else "fixed"
        where = f"No head was found in the {missing} volume"
    else:
        where = "No head was found in either volume"
    return [f"{where}; check that both show the same head."]


def _apart(opinion: SecondOpinion) -> list[str]:
    reasons = []
    gap_mm, gap_deg = opinion.pose_gap_mm, opinion.pose_gap_deg
    if gap_mm is not None and gap_deg is not None and (gap_mm > POSE_GAP_MM or gap_deg > POSE_GAP_DEG):
        reasons.append(
            f"The result differs by {gap_mm:.0f} mm and {gap_deg:.0f} degrees from where the head was found in each "
            "volume by itself; compare the registered volume with the MRI."
        )
    if opinion.overlap < LEAST_OVERLAP:
        reasons.append(
            f"Only {100 * opinion.overlap:.0f} % of the smaller head lies in the other one; check the result."
        )
    return reasons


def _dissimilar(opinion: SecondOpinion) -> list[str]:
    reasons = []
    heads = opinion.fixed_head and opinion.moving_head
    least = LEAST_CONTRAST if heads else LEAST_CONTRAST_WITHOUT_HEAD
    if opinion.information < least * opinion.information_random:
        reasons.append(
            f"The mutual information, {opinion.information:.3f}, is hardly more than that of random poses, "
            f"{opinion.information_random:.3f}; check that both volumes show the same head."
        )
    if opinion.information < LEAST_GAIN * opinion.information_placed:
        reasons.append("The volumes are less similar than before registration; choose another initial transform.")
    return reasons
