"""What a checkpoint says about the network that it belongs to."""

from dataclasses import dataclass

PUBLISHED = "published"
EXACT = "exact"
CONVENTIONS = (PUBLISHED, EXACT)
DEEP = "deep"
LIGHT = "light"
FUSIONS = (DEEP, LIGHT)
SIDE_STEP_PX = 16  # of the sides of slices, which the network halves four times


@dataclass(frozen=True)
class Metadata:
    """Describes the network of a checkpoint.

    Attributes:
        convention: "published" for the layout of the released checkpoints, "exact" for ours: bilinear sampling without
            the published zoom, the class token removed where it stands, steps that match local correlations.
        modality: "ct", "pet", "spect" or "all".
        size: Longer side of the training slices, in pixels.
        fusion: "deep" for the fusion whose last layers work at the full resolution, "light" for the one at half of it.
            The published layout has its own.

    Raises:
        ValueError: The convention or the fusion is unknown.
    """

    convention: str = EXACT
    modality: str = "all"
    size: int = 256
    fusion: str = DEEP

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise ValueError(f"The convention must be one of {', '.join(CONVENTIONS)}, not {self.convention!r}.")
        if self.fusion not in FUSIONS:
            raise ValueError(f"The fusion must be one of {', '.join(FUSIONS)}, not {self.fusion!r}.")
