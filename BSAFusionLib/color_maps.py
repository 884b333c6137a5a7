"""The color maps of overlays: one row each. This module is plain data and imports nothing heavy."""

from dataclasses import dataclass

from BSAFusionLib.modalities import ColorPoint


@dataclass(frozen=True)
class ColorMap:
    """One way to show values in color.

    Attributes:
        name: Identifier in settings, on the command line and in reports, such as "inferno".
        label: Name shown to people: that of Slicer's color node.
        points: By rising level; colors between them are interpolated.
        flaw: What a reader must know of its lightness, a clause; "" where that rises over the whole window.
    """

    name: str
    label: str
    points: tuple[ColorPoint, ...]
    flaw: str = ""


def _evenly(*colors: tuple[int, int, int]) -> tuple[ColorPoint, ...]:
    return tuple((number / (len(colors) - 1), *color) for number, color in enumerate(colors))


COLOR_MAPS: dict[str, ColorMap] = {
    row.name: row
    for row in (
        # Points of Inferno and Viridis (S. van der Walt and N. Smith, matplotlib, CC0).
        ColorMap(
            "inferno",
            "Inferno",
            _evenly(
                (0, 0, 4), (11, 7, 36), (33, 12, 74), (61, 9, 101), (87, 16, 110), (113, 25, 110), (138, 34, 106),
                (163, 44, 97), (188, 55, 84), (210, 70, 68), (228, 90, 49), (241, 115, 29), (249, 142, 9),
                (252, 172, 17), (249, 203, 53), (242, 234, 105), (252, 255, 164),
            ),
        ),
        ColorMap(
            "viridis",
            "Viridis",
            _evenly(
                (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141), (44, 114, 142),
                (38, 130, 142), (33, 145, 140), (31, 160, 136), (40, 174, 128), (63, 188, 115), (94, 201, 98),
                (132, 212, 75), (173, 220, 48), (216, 226, 25), (253, 231, 37),
            ),
        ),
        # Hot Metal Blue and PET of DICOM (PS3.6, B.1.3 and B.1.2), and Slicer's own maps for PET.
        ColorMap(
            "hot-metal-blue",
            "PET-HotMetalBlue",
            (
                (0.0, 0, 0, 0), (1 / 3, 0, 0, 167), (0.4, 50, 0, 200), (7 / 15, 90, 0, 150), (8 / 15, 140, 32, 50),
                (0.6, 190, 64, 0), (2 / 3, 255, 96, 0), (1.0, 255, 255, 255),
            ),
        ),
        ColorMap(
            "pet-dicom",
            "PET-DICOM",
            (
                (0.0, 0, 0, 0), (63 / 255, 0, 128, 125), (128 / 255, 128, 0, 255), (192 / 255, 255, 128, 0),
                (1.0, 255, 255, 255),
            ),
            "gets darker from 25 to 50 % of the window",
        ),
        ColorMap(
            "pet-heat",
            "PET-Heat",
            (
                (0.0, 0, 0, 0), (35 / 255, 92, 0, 0), (38 / 255, 128, 0, 0), (50 / 255, 178, 26, 0),
                (70 / 255, 178, 128, 0), (87 / 255, 255, 255, 0), (1.0, 255, 255, 255),
            ),
            "is nearly flat above 34 % of the window",
        ),
        ColorMap(
            "pet-rainbow",
            "PET-Rainbow",
            (
                (0.0, 0, 0, 0), (35 / 255, 0, 0, 76), (38 / 255, 51, 0, 76), (50 / 255, 128, 0, 0),
                (70 / 255, 178, 128, 0), (87 / 255, 255, 255, 0), (1.0, 255, 255, 255),
            ),
            "is nearly flat above 34 % of the window",
        ),
    )
}  # fmt: skip
"""All color maps by name, in the order in which choices are listed."""

DEFAULT = "inferno"


def flaws() -> str:
    """Return what a reader must know of the lightness of some maps, as in a sentence."""
    return "; ".join(f"{row.name} {row.flaw}" for row in COLOR_MAPS.values() if row.flaw)
