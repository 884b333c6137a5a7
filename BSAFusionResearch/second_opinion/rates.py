"""Error rates of the rule that calls a result doubtful, and the limits that right results ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from BSAFusionLib.pipeline.doubt import SecondOpinion, judge
from BSAFusionResearch.second_opinion.results import RIGHT_MM, WRONG_MM, TriedResult

DEVIATIONS = 3.3  # of a normal distribution, beyond which one right result in 2,000 lies

FIGURES: dict[str, Callable[[SecondOpinion], float | None]] = {
    "pose gap, mm": lambda opinion: opinion.pose_gap_mm,
    "pose gap, degrees": lambda opinion: opinion.pose_gap_deg,
    "estimated by the network, mm": lambda opinion: opinion.estimated_mm,
    "overlap": lambda opinion: opinion.overlap,
    "information over random": lambda opinion: _ratio(opinion.information, opinion.information_random),
    "information over nearby": lambda opinion: _ratio(opinion.information, opinion.information_nearby or 0.0),
    "information over placed": lambda opinion: _ratio(opinion.information, opinion.information_placed),
    "mirror share": lambda opinion: opinion.mirror_share,
}


@dataclass(frozen=True)
class Rates:
    """How the rule does on results of one kind.

    Attributes:
        results: How many there are.
        doubtful: Of all.
        wrong: Off by over 10 mm.
        silent: Of these, not called doubtful.
        right: Off by under 3 mm.
        falsely: Of these, called doubtful.
    """

    results: int
    doubtful: int
    wrong: int
    silent: int
    right: int
    falsely: int


def rates_of(results: Sequence[TriedResult]) -> Rates:
    """Count what the rule says of some results."""
    doubtful = np.array([judge(SecondOpinion(**result.opinion)).doubtful for result in results], bool)
    errors = np.array([np.nan if result.error_mm is None else result.error_mm for result in results])
    wrong, right = errors > WRONG_MM, errors < RIGHT_MM
    return Rates(
        len(results),
        int(doubtful.sum()),
        int(wrong.sum()),
        int((wrong & ~doubtful).sum()),
        int(right.sum()),
        int((right & doubtful).sum()),
    )


def rates_by_kind(results: Sequence[TriedResult]) -> dict[str, Rates]:
    """Return the rates of every kind, in the order in which the kinds appear, and of "all"."""
    kinds = list(dict.fromkeys(result.kind for result in results))
    groups = {kind: [result for result in results if result.kind == kind] for kind in kinds}
    return {kind: rates_of(group) for kind, group in (*groups.items(), ("all", results))}


def figure_ranges(results: Sequence[TriedResult]) -> dict[str, list[float]]:
    """Return, by figure, what limits can be chosen from.

    Returns:
        Of right results with both heads found: the least, the lower limit, the median, the upper limit and the largest.
        The limits lie `DEVIATIONS` deviations from the mean of the logarithm, by median and quartiles.
    """
    right = [
        SecondOpinion(**result.opinion)
        for result in results
        if result.error_mm is not None and result.error_mm < RIGHT_MM
    ]
    ranges = {}
    for name, figure in FIGURES.items():
        found = [figure(opinion) for opinion in right if opinion.fixed_head and opinion.moving_head]
        values = np.array([value for value in found if value is not None and value > 0])
        if len(values) < 4:
            continue
        low, middle, high = np.quantile(np.log(values), (0.25, 0.5, 0.75))
        spread = DEVIATIONS * np.array([middle - low, high - middle]) / 0.6745  # quartiles of a normal distribution
        limits = np.exp([middle - spread[0], middle, middle + spread[1]])
        ranges[name] = [float(values.min()), *map(float, limits), float(values.max())]
    return ranges


def _ratio(value: float, reference: float) -> float | None:
    return value / reference if reference > 0 else None
