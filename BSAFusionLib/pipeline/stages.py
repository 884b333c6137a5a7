"""The stages of a run, and how its progress is reported; imports nothing, so that a panel opens fast."""

from collections.abc import Callable

# Rough share of the whole job's time that each stage takes, in the order in which they run.
STAGE_SHARES = {
    "intensities": 0.02,
    "pre-alignment": 0.20,
    "slices": 0.03,
    "registration": 0.45,
    "deformation": 0.07,
    "fusion": 0.15,
    "volumes": 0.04,
    "report": 0.04,
}

Slices = tuple[int, int] | None  # of those that go through the network: how many are done, and how many there are
Progress = Callable[[str, float, Slices], None]  # stage, fraction of the whole job, slices
