"""The cards that lie beside weights: what they were trained on."""

import json
from pathlib import Path


def training_of(weights: Path) -> dict:
    """The training part of the card beside a weights file; empty where it has none."""
    card = weights.with_suffix(".json")
    return json.loads(card.read_text(encoding="utf-8")).get("training", {}) if card.is_file() else {}


def patients_trained_on(weights: Path) -> set[int]:
    """The patients that weights, or those that they were started from, have seen; none where there is no card."""
    seen: set[int] = set()
    training = training_of(weights)
    while training:
        seen |= set(training.get("patients", ()))
        training = training.get("started_from") or {}
    return seen
