"""Read a modality's training file: what training needs to know of it beside its slices.

`Resources/Training/<name>.json` holds, all of it optional:

    brightness     weight of the brighter pixel in the fusion loss (default: 0.1)
    tissues        range of the brightness of each tissue in a synthetic slice, in [0, 1], by the tissue's name
    blur_px        range of the sigma that blurs a synthetic slice, in pixels of a whole slice
    atlas_colors   points of the training slices' color map: level of activity, red, green, blue
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from BSAFusionLib.errors import FusionError

TRAINING_FILES = Path(__file__).resolve().parents[2] / "Resources" / "Training"
BRIGHTNESS = 0.1
"""Weight of the brighter pixel in the fusion loss, unless a training file has another."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Traits:
    """Content of a training file; None where the file leaves it out."""

    brightness: float = BRIGHTNESS
    tissues: dict[str, Range] | None = None
    blur_px: Range | None = None
    atlas_colors: tuple[tuple[float, int, int, int], ...] | None = None


@lru_cache
def traits_of(modality: str, folder: Path = TRAINING_FILES) -> Traits:
    """Return the content of a modality's training file.

    Raises:
        FusionError: The file is missing, is not JSON, or holds other keys.
    """
    path = folder / f"{modality}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tissues, blur, colors = (content.get(name) for name in ("tissues", "blur_px", "atlas_colors"))
        return Traits(
            **{
                **content,
                "tissues": tissues and {name: tuple(ends) for name, ends in tissues.items()},
                "blur_px": blur and tuple(blur),
                "atlas_colors": colors and tuple(map(tuple, colors)),
            }
        )
    except OSError as error:
        raise FusionError(
            f"The training file {path} cannot be read ({error.strerror}); write it as its neighbors are written."
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise FusionError(f"The training file {path} is not valid ({error}); correct it.") from error


def brightness_of(modality: str) -> float:
    """Return the weight of the brighter pixel in the fusion loss for a modality, or for "all"."""
    return BRIGHTNESS if modality == "all" else traits_of(modality).brightness
