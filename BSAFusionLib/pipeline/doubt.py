"""Decide whether a result is doubtful: figures in, decision out."""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Weights(NamedTuple):
    """Weights of four figures, whose weighted sum is how much more likely a result is wrong than right (log odds).

    `run.py fit_verdict` fits them. Each figure alone overlaps between right and wrong results; together they do not.

    Attributes:
        constant: Where all logarithms are 0.
        pose_gap: Of the logarithm of the pose gap in mm.
        estimated: Of the logarithm of what the network estimated, in mm.
        contrast: Of the logarithm of mutual information, relative to that of random poses.
        sharpness: Of the logarithm of mutual information, relative to that of nearby poses.
    """

    constant: float
    pose_gap: float
    estimated: float
    contrast: float
    sharpness: float


class Limits(NamedTuple):
    """What right results stay within; `run.py fit_verdict` prints what they reach and how often the rule errs.

    Attributes:
        pose_gap_mm: Most where the other evidence is not clearly that of a right result. The heads' own poses are off
            by up to 7 mm, and by more where a head is partly in view.
        pose_gap_deg: Most, likewise.
        far_mm: Most pose gap in any case.
        far_deg: Most in any case.
        overlap: Least.
        gain: Least mutual information, relative to that as placed.
        close_mm: Within that of the heads' own poses, less mutual information than as placed is no reason to doubt: a
            wrong place can be the more similar one where the intensities are uneven.
        mirror_share: Most.
        undecided_mirror_share: Most where nothing has to be said of a mirrored image.
        log_odds: Most of all four figures.
        log_odds_without_poses: Most without the pose gap, which says nothing where wrong poses led to a wrong result.
        log_odds_clearly_right: Most without the pose gap where that evidence is to count without the heads' own poses,
            or against them.
    """

    pose_gap_mm: float = 12.0
    pose_gap_deg: float = 18.0
    far_mm: float = 50.0
    far_deg: float = 60.0
    overlap: float = 0.25
    gain: float = 0.9
    close_mm: float = 7.0
    mirror_share: float = 1.03
    undecided_mirror_share: float = 0.97
    log_odds: float = 0.0
    log_odds_without_poses: float = 1.3
    log_odds_clearly_right: float = -1.0


WEIGHTS = Weights(-5.99, 1.81, 3.78, -1.40, -10.01)
WEIGHTS_WITHOUT_POSES = Weights(0.79, 0.0, 3.90, -2.92, -15.93)
LIMITS = Limits()
LEAST_FIGURE = 0.1  # of those whose logarithm is taken
LEAST_INFORMATION = 1e-3  # nats
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
        information_nearby: Mean mutual information over the more similar half of twelve poses, each 12 mm or 12 degrees
            away; None in reports of older versions.
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
    information_nearby: float | None = None


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
    """Decide whether a result is doubtful, and why: a figure beyond its limit, or four that are unlikely together."""
    reasons = [*_against_poses(opinion, limits), *_apart(opinion, limits), *_less_similar(opinion, limits)]
    if not reasons:  # otherwise enough is said
        reasons = _unlikely(opinion, limits)
    if not reasons:  # otherwise the result is too wrong for left and right to be told apart
        reasons = _mirror_reasons(opinion, limits)
    return Doubt(bool(reasons), tuple(reasons), _turn_remarks(opinion, limits))


def _against_poses(opinion: SecondOpinion, limits: Limits) -> list[str]:
    """Return what the heads' own poses have against a result; not much where the other evidence is clearly for it."""
    odds = log_odds(opinion, WEIGHTS_WITHOUT_POSES)
    some_head = opinion.fixed_head or opinion.moving_head  # two phantoms may match well
    if some_head and odds is not None and odds <= limits.log_odds_clearly_right:
        return _far_from_poses(opinion, limits.far_mm, limits.far_deg)
    return [*_no_head(opinion), *_far_from_poses(opinion, limits.pose_gap_mm, limits.pose_gap_deg)]


def _no_head(opinion: SecondOpinion) -> list[str]:
    if opinion.fixed_head and opinion.moving_head:
        return []
    if opinion.fixed_head or opinion.moving_head:
        where = f"the {'moving' if opinion.fixed_head else 'fixed'} volume"
    else:
        where = "either volume"
    return [f"No head was found in {where}; check that both show the same head."]


def _far_from_poses(opinion: SecondOpinion, most_mm: float, most_deg: float) -> list[str]:
    gap_mm, gap_deg = opinion.pose_gap_mm, opinion.pose_gap_deg
    if gap_mm is None or gap_deg is None or (gap_mm <= most_mm and gap_deg <= most_deg):
        return []
    return [
        f"The result differs by {gap_mm:.0f} mm and {gap_deg:.0f} degrees from where the head was found in each "
        "volume by itself; compare the registered volume with the MRI."
    ]


def _apart(opinion: SecondOpinion, limits: Limits) -> list[str]:
    if opinion.overlap >= limits.overlap:
        return []
    return [
        f"Only {100 * opinion.overlap:.0f} % of the smaller head lies in the other one; compare the registered "
        "volume with the MRI."
    ]


def _unlikely(opinion: SecondOpinion, limits: Limits) -> list[str]:
    odds = log_odds(opinion, WEIGHTS), log_odds(opinion, WEIGHTS_WITHOUT_POSES)
    if not any(
        found is not None and found > most
        for found, most in zip(odds, (limits.log_odds, limits.log_odds_without_poses), strict=True)
    ):
        return []
    gap = "" if opinion.pose_gap_mm is None else f"it is {opinion.pose_gap_mm:.0f} mm from the heads' own poses, "
    return [
        f"The evidence as a whole speaks against this result: {gap}the network estimates that the slices are still "
        f"{opinion.estimated_mm:.1f} mm apart, and the volumes are {_contrast(opinion):.1f} times as similar as in "
        f"random poses and {_sharpness(opinion):.1f} times as similar as in nearby ones; compare the registered volume "
        "with the MRI."
    ]


def log_odds(opinion: SecondOpinion, weights: Weights) -> float | None:
    """Return how much more likely a result is wrong than right, as the logarithm of the odds.

    Returns:
        None where a figure that counts is missing.
    """
    total = weights.constant
    for figure, weight in zip(log_figures(opinion), weights[1:], strict=True):
        if weight != 0 and figure is None:
            return None
        total += weight * (figure or 0.0)
    return total


def log_figures(opinion: SecondOpinion) -> tuple[float | None, ...]:
    """Return the logarithms of the figures that `Weights` weighs, in its order; None where one is missing."""
    figures = (opinion.pose_gap_mm, opinion.estimated_mm, _contrast(opinion), _sharpness(opinion))
    return tuple(None if figure is None else math.log(max(figure, LEAST_FIGURE)) for figure in figures)


def _contrast(opinion: SecondOpinion) -> float:
    """Return the mutual information relative to that of random poses, of which there is a little at least."""
    return opinion.information / max(opinion.information_random, LEAST_INFORMATION)


def _sharpness(opinion: SecondOpinion) -> float | None:
    """Return the mutual information relative to that of nearby poses, of which there is a little at least."""
    if opinion.information_nearby is None:
        return None
    return opinion.information / max(opinion.information_nearby, LEAST_INFORMATION)


def _less_similar(opinion: SecondOpinion, limits: Limits) -> list[str]:
    close = opinion.pose_gap_mm is not None and opinion.pose_gap_mm <= limits.close_mm
    if opinion.information >= limits.gain * opinion.information_placed or close:
        return []
    return ["The volumes are less similar than before registration; choose another initial transform."]


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
