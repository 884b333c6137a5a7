"""A report of a run that nobody made."""

from typing import Any

from BSAFusionLib.pipeline.measures import Displacement
from BSAFusionLib.pipeline.report import Report, Verdict


def example_report(**changes: Any) -> Report:
    """Return the report of a PET, with some fields changed."""
    fields: dict[str, Any] = {
        "modality": "pet",
        "prealignment": "rigid",
        "slices": 40,
        "axes": ("k",),
        "verdict": Verdict(),
        "mutual_information_before": 0.1,
        "mutual_information_prealigned": 0.4,
        "mutual_information_after": 0.5,
        "displacement": Displacement(12.4, 14, 16),
        "network_displacement": Displacement(1, 2, 3),
        "smallest_jacobian": 0.9,
        "percent_folded": 0.0,
        "device": "cpu",
        "precision": "float32",
        "weights": "pet.safetensors",
        "weights_sha256": "0123456789abcdef",
        "seconds": {"registration": 1.5},
    }
    return Report(**{**fields, **changes})
