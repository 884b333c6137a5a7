"""Read what weights were trained on from the cards that lie beside them."""

from collections.abc import Iterator
from pathlib import Path

from BSAFusionLib.network.weights import read_card


def training_of(weights: Path) -> dict:
    """Return the training part of the card beside a weights file; empty without a card.

    Raises:
        FusionError: The card cannot be read.
    """
    return (read_card(weights) or {}).get("training", {})


def patients_trained_on(training: dict) -> set[int]:
    """Return the patients that weights, and the weights that they were trained further from, have seen.

    Args:
        training: From `training_of`.
    """
    return {patient for part in _parts(training) for patient in part.get("patients", ())}


def knows_all_patients(training: dict) -> bool:
    """Return whether the training part of a card, and that of every earlier training, lists its patients."""
    return all("patients" in part for part in _parts(training))


def _parts(training: dict) -> Iterator[dict]:
    """Yield the training part of a card, then those of the weights that it started from."""
    yield training
    while training := training.get("started_from") or {}:
        yield training
