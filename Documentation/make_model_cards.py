"""Write the figures of the weights' cards into models.md: `.venv/bin/python Documentation/make_model_cards.py`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

folder = Path(__file__).resolve().parent
sys.path.insert(0, str(folder.parent))

from BSAFusionLib.modalities import MODALITIES  # noqa: E402  (found only once the path is set)

models = folder.parent / "Resources" / "Models"
FIRST_SIMULATED = 900  # patients' numbers from here on are those of simulated heads

page = folder / "models.md"
head = f"| | {' | '.join(row.label for row in MODALITIES.values())} |\n|---|{'---|' * len(MODALITIES)}\n"


def with_figures(text: str) -> str:
    """Return the page's text with the table of today's cards."""
    cards = [json.loads((models / f"{name}.json").read_text(encoding="utf-8")) for name in MODALITIES]
    rows = "".join(row_of(cards, name, figure_of) for name, figure_of in ROWS.items())
    before, _ = text.split(head)
    return before + head + rows


def row_of(cards: list[dict], name: str, figure_of: Callable[[dict], str]) -> str:
    return f"| {name} | " + " | ".join(figure_of(card) for card in cards) + " |\n"


def patients(card: dict) -> str:
    """Return how many patients of the atlas and how many simulated ones the weights were trained on."""
    numbers = card["training"]["patients"]
    simulated = sum(number >= FIRST_SIMULATED for number in numbers)
    return f"{len(numbers) - simulated} + {simulated}"


def deformed(figure: str, digits: int) -> Callable[[dict], str]:
    """Return a function that reads a figure of slices deformed at random, before and after, from a card."""

    def figure_of(card: dict) -> str:
        figures = card["validation"]["simulated_deformations"]
        return " / ".join(f"{figures[f'{figure}_{when}']:.{digits}f}" for when in ("before", "after"))

    return figure_of


ROWS = {
    "card": lambda card: f"[{card['modality']}.json](../Resources/Models/{card['modality']}.json)",
    "weights, SHA-256": lambda card: f"`{card['sha256'][:12]}…`",
    "parameters": lambda card: f"{card['parameters']:,}",
    "trained on, pairs": lambda card: str(card["training"]["pairs"]),
    "of patients, of the atlas + simulated": patients,
    "on": lambda card: card["training"]["hardware"],
    "measured on, slices": lambda card: str(card["validation"]["pairs"]),
    "which are": lambda card: card["validation"]["held_out"],
    "error in pixels, before / after": deformed("error", 2),
    "gray levels off, before / after": deformed("difference", 1),
    "folded, %": lambda card: f"{card['validation']['simulated_deformations']['folded_percent']:.2f}",
}

if __name__ == "__main__":
    page.write_text(with_figures(page.read_text(encoding="utf-8")), encoding="utf-8")
