"""Read what weights were trained on from the cards that lie beside them."""

from pathlib import Path

from BSAFusionLib.network.weights import read_card


def training_of(weights: Path) -> dict:
    """Return the training part of the card beside a weights file; empty without a card.

    Raises:
        FusionError: The card cannot be read.
    """
    return (read_card(weights) or {}).get("training", {})


def patients_trained_on(weights: Path) -> set[int]:
    """Return the patients that weights, and those they were trained on from, have seen; empty without a card."""
    patients: set[int] = set()
    training = training_of(weights)
    while training:
        patients |= set(training.get("patients", ()))
        training = training.get("started_from") or {}
    return patients
