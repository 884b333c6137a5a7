"""What a checkpoint says about the network that it belongs to."""

from dataclasses import dataclass

PUBLISHED = "published"
EXACT = "exact"
CONVENTIONS = (PUBLISHED, EXACT)


@dataclass(frozen=True)
class Metadata:
    """Describes the network of a checkpoint.

    Attributes:
        convention: "published" for the layout of the released checkpoints, "exact" for ours: bilinear sampling without
            the published zoom, the class token removed where it stands, steps that match local correlations.
        modality: "ct", "pet", "spect" or "all".
        size: Side of the square training slices, in pixels.

    Raises:
        ValueError: The convention is unknown.
    """

    convention: str = EXACT
    modality: str = "all"
    size: int = 256

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise ValueError(f"The convention must be one of {', '.join(CONVENTIONS)}, not {self.convention!r}.")
