"""Where a result comes from: the volumes, the settings and the program, as a reader of its report needs them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from BSAFusionLib import version

# As in CITATION.cff.
CITATIONS = (
    "Li, H., Su, D., Cai, Q., & Zhang, Y. (2025). BSAFusion: A Bidirectional Stepwise Feature Alignment Network for "
    "Unaligned Medical Image Fusion. Proceedings of the AAAI Conference on Artificial Intelligence. arXiv:2412.08050",
    f"The BSAFusion for 3D Slicer developers. BSAFusion for 3D Slicer (version {version}) [Computer software].",
)


def now() -> str:
    """Return date and time with the offset from UTC, to the minute."""
    return datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")


@dataclass(frozen=True)
class Scan:
    """One of the two volumes that a result was made of.

    Attributes:
        name: File, or node in the scene; of DICOM its modality, since a folder may be named after the patient.
        size: Voxels along columns, rows and slices.
        spacing_mm: Voxel size along these.
        unit: Of the values; "" where the file says none.
    """

    name: str
    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    unit: str = ""

    def texts(self) -> tuple[str, str, str, str]:
        """Return name, size, voxel size and unit as they are shown."""
        size, spacing = (" x ".join(f"{value:.4g}" for value in values) for values in (self.size, self.spacing_mm))
        return self.name, size, f"{spacing} mm", self.unit or "not stated"


@dataclass(frozen=True)
class Record:
    """Where a result comes from.

    Attributes:
        fixed: The MRI.
        moving: The moving volume.
        command: What to type to make the result again.
        settings: All choices of the run by their names, as texts.
        version: Of the program.
        date: When the report was made.
    """

    fixed: Scan
    moving: Scan
    command: str
    settings: Mapping[str, str]
    version: str = version
    date: str = field(default_factory=now)


def settings_texts(choices: Mapping[str, Any]) -> dict[str, str]:
    """Return choices by the fields of `Settings` as texts."""
    return {name: _text(value) for name, value in choices.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "automatic"
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}" for part in value)
    return "a given transform" if hasattr(value, "TransformPoint") else f"{value}"
