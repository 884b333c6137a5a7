"""The modalities that can be aligned with an MRI: one row each, the only place that names them.

To add one, add its row to `MODALITIES` (or call `register`), its weights to Resources/Models, and, to train them, its
training file to Resources/Training. This module is plain data and imports nothing heavy.
"""

from dataclasses import dataclass

ColorPoint = tuple[float, int, int, int]
"""A point of a color map: level in [0, 1], then red, green and blue in 0..255."""

MRI = "mri"
"""Name of the fixed volume's modality."""

MRI_DICOM_CODES = ("MR",)


@dataclass(frozen=True)
class Modality:
    """One kind of moving volume.

    Attributes:
        name: Identifier in settings, on the command line, in reports and in file names, such as "ct".
        label: Name shown to people, such as "CT".
        dicom_codes: Values of the DICOM attribute Modality (0008,0060).
        window: Center and width of the default intensity window, in Hounsfield units; None takes the range from
            percentiles of the intensities.
        color_map: Points by rising level, of rising luminance; None shows, registers and fuses gray levels.
        in_bids: Whether BIDS 1.10 has a data type of this name, so that a validator accepts its files.
        weights: Weights file, relative to Resources/Models or absolute; by default `<name>.safetensors`.
    """

    name: str
    label: str
    dicom_codes: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    color_map: tuple[ColorPoint, ...] | None = None
    in_bids: bool = False
    weights: str = ""

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", f"{self.name}.safetensors")

    @property
    def in_color(self) -> bool:
        """Tell whether the modality is shown and fused in color."""
        return self.color_map is not None


MODALITIES: dict[str, Modality] = {}
"""All rows by name, in the order in which choices are listed."""


def register(row: Modality) -> None:
    """Add a modality to the table.

    Raises:
        ValueError: The name is taken, or one of the DICOM codes is.
    """
    if row.name == MRI or row.name in MODALITIES:
        raise ValueError(f"The modality {row.name!r} is in the table already; choose another name.")
    for code in row.dicom_codes:
        if (owner := from_dicom(code)) is not None:
            raise ValueError(f"The DICOM code {code} already stands for {owner}; give another to {row.name}.")
    MODALITIES[row.name] = row


def unregister(name: str) -> None:
    """Remove a modality from the table, such as one that another module brought along."""
    del MODALITIES[name]


def from_dicom(code: str | None) -> str | None:
    """Return the name that a DICOM modality code stands for: that of a row, "mri", or None."""
    if code in MRI_DICOM_CODES:
        return MRI
    return next((row.name for row in MODALITIES.values() if code in row.dicom_codes), None)


def listed(rows: list[Modality] | None = None) -> str:
    """Return the labels of some rows (default: all) as in a sentence, such as "CT, PET or SPECT"."""
    *most, last = [row.label for row in (MODALITIES.values() if rows is None else rows)]
    return f"{', '.join(most)} or {last}" if most else last


# The CT window is that of the training slices: brain is gray, bone white.
register(Modality("ct", "CT", ("CT",), window=(40.0, 80.0)))

# The color maps resemble those of the training slices, but their luminance never falls, so that the network, which sees
# only that, can tell every level from the next.
register(
    Modality(
        "pet",
        "PET",
        ("PT",),
        color_map=(
            (0.00, 0, 0, 0),
            (0.06, 0, 2, 20),
            (0.14, 0, 30, 165),
            (0.29, 0, 74, 240),
            (0.50, 79, 127, 175),
            (0.70, 167, 180, 87),
            (0.75, 255, 191, 0),
            (1.00, 255, 255, 0),
        ),
        in_bids=True,
    )
)
register(
    Modality(
        "spect",
        "SPECT",
        ("NM",),
        color_map=(
            (0.00, 0, 0, 0),
            (0.12, 25, 38, 45),
            (0.25, 60, 30, 120),
            (0.40, 125, 36, 134),
            (0.60, 193, 91, 113),
            (0.75, 224, 102, 56),
            (0.85, 255, 122, 19),
            (0.95, 255, 178, 152),
            (1.00, 255, 222, 255),
        ),
    )
)
