"""Decide whether a result is doubtful: figures in, decision out."""

from dataclasses import dataclass
from typing import NamedTuple


class Limits(NamedTuple):
    """What right results stay within; `run.py fit_verdict` prints what they reach and how often the rule errs.

    Attributes:
        pose_gap_mm: Most; the heads' own poses are off by up to 7 mm.
        pose_gap_deg: Most.
        estimated_mm: Most.
        overlap: Least.
        contrast: Least mutual information, relative to that of random poses.
        gain: Least mutual information, relative to that as placed.
        close_mm: Within that of the heads' own poses, less mutual information than as placed is no reason to doubt: a
            wrong place can be the more similar one where the intensities are uneven.
        mirror_share: Most.
        undecided_mirror_share: Most where nothing has to be said of a mirrored image.
    """

    pose_gap_mm: float = 12.0
    pose_gap_deg: float = 18.0
    estimated_mm: float = 3.5
    overlap: float = 0.5
    contrast: float = 2.3
    gain: float = 0.9
    close_mm: float = 7.0
    mirror_share: float = 1.03
    undecided_mirror_share: float = 0.97


LIMITS = Limits()
HALF_TURNS = {
    "x": ("left-right axis", "mirrored"),
    "y": ("front-back axis", "mirrored top to bottom"),
    "z": ("head-foot axis", "mirrored front to back"),
}
"""By axis of LPS: its name, and what a mirrored head that is found turned about it has suffered."""


@dataclass(frozen=True)
class SecondOpinion:
    """Evidence on a result that the registration did not choose it by.

    Attributes:
        fixed_head: True where a head was found in the fixed volume.
        moving_head: The same for the moving volume.
        pose_gap_mm: Mean distance in the brain between the result and the motion between both heads' own poses; None
            where a head was not found.
        pose_gap_deg: Angle between their rotations; None likewise.
        estimated_mm: Mean length of the displacements that the network estimated on slices with the initial transform,
            weighted by its certainty; None where no slice shows both volumes.
        overlap: Share of the smaller head that lies in the other one, within both fields of view.
        information: Mutual information in nats of the coarse volumes' ranks near the fixed head, with the result.
        information_placed: The same as placed.
        information_random: Its mean over random poses.
        fixed_turned: Axis of LPS about which the fixed head is turned by about 180 degrees against what its file says,
            "x", "y" or "z"; "other" for another turn of 60 degrees or more; "" for none.
        moving_turned: The same for the moving head.
        mirror_share: Where they differ, mutual information if the moving head is taken for mirrored, relative to that
            of the result; None elsewhere.
    """

    fixed_head: bool
    moving_head: bool
    pose_gap_mm: float | None
    pose_gap_deg: float | None
    estimated_mm: float | None
    overlap: float
    information: float
    information_placed: float
    information_random: float
    fixed_turned: str = ""
    moving_turned: str = ""
    mirror_share: float | None = None


class Doubt(NamedTuple):
    """The decision.

    Attributes:
        doubtful: Whether the result is doubtful.
        reasons: Why, a sentence each.
        remarks: What is unusual, but no reason to doubt the result, a sentence each.
    """

    doubtful: bool
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]


def judge(opinion: SecondOpinion, limits: Limits = LIMITS) -> Doubt:
    """Decide whether a result is doubtful, and say why: one figure beyond its limit is enough."""
    reasons = [*_no_head(opinion), *_apart(opinion, limits), *_dissimilar(opinion, limits)]
    if not reasons:  # otherwise the result is too wrong for left and right to be told apart
        reasons = _mirror_reasons(opinion, limits)
    return Doubt(bool(reasons), tuple(reasons), _turn_remarks(opinion, limits))


def _no_head(opinion: SecondOpinion) -> list[str]:
    if opinion.fixed_head and opinion.moving_head:
        return []
    if opinion.fixed_head or opinion.moving_head:
        where = f"the {'moving' if opinion.fixed_head else 'fixed'} volume"
    else:
        where = "either volume"
    return [f"No head was found in {where}; check that both show the same head."]


def _apart(opinion: SecondOpinion, limits: Limits) -> list[str]:
    reasons = []
    gap_mm, gap_deg = opinion.pose_gap_mm, opinion.pose_gap_deg
    if gap_mm is not None and gap_deg is not None and (gap_mm > limits.pose_gap_mm or gap_deg > limits.pose_gap_deg):
        reasons.append(
            f"The result differs by {gap_mm:.0f} mm and {gap_deg:.0f} degrees from where the head was found in each "
            "volume by itself; compare the registered volume with the MRI."
        )
    if opinion.estimated_mm is not None and opinion.estimated_mm > limits.estimated_mm:
        reasons.append(
            f"The network estimates that the slices are still {opinion.estimated_mm:.1f} mm apart on average, more "
            f"than the {limits.estimated_mm:.1f} mm that are left after a right initialization."
        )
    if opinion.overlap < limits.overlap:
        reasons.append(
            f"Only {100 * opinion.overlap:.0f} % of the smaller head lies in the other one; compare the registered "
            "volume with the MRI."
        )
    return reasons


def _dissimilar(opinion: SecondOpinion, limits: Limits) -> list[str]:
    reasons = []
    if opinion.information < limits.contrast * opinion.information_random:
        reasons.append(
            "The volumes are hardly more similar than in random poses "
            f"({opinion.information:.3f} and {opinion.information_random:.3f} nats of mutual information); check that "
            "both show the same head."
        )
    close = opinion.pose_gap_mm is not None and opinion.pose_gap_mm <= limits.close_mm
    if opinion.information < limits.gain * opinion.information_placed and not close:
        reasons.append("The volumes are less similar than before registration; choose another initial transform.")
    return reasons


def _mirror_reasons(opinion: SecondOpinion, limits: Limits) -> list[str]:
    if opinion.mirror_share is None or opinion.mirror_share <= limits.mirror_share:
        return []
    return [f"{_turned(opinion)}, but its mirror image fits better: {_exchanged(opinion)}."]


def _turn_remarks(opinion: SecondOpinion, limits: Limits) -> tuple[str, ...]:
    if opinion.mirror_share is None or opinion.mirror_share > limits.mirror_share:
        return ()
    if opinion.mirror_share < limits.undecided_mirror_share:
        return (f"{_turned(opinion)}.",)
    return (f"{_turned(opinion)}. Check a side that is known: if {_exchanged(opinion)}.",)


def _turned(opinion: SecondOpinion) -> str:
    which = "moving" if opinion.moving_turned else "fixed"
    axis = opinion.moving_turned or opinion.fixed_turned
    how = f"by about 180 degrees about its {HALF_TURNS[axis][0]} " if axis in HALF_TURNS else ""
    return f"The head in the {which} volume lies turned {how}against what its file says"


def _exchanged(opinion: SecondOpinion) -> str:
    axis = opinion.moving_turned or opinion.fixed_turned
    how = HALF_TURNS[axis][1] if axis in HALF_TURNS else "mirrored"
    return f"the image is {how}, left and right of the result are exchanged"
