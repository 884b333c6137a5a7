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


def describe_validation(fold: str, training: dict, validated: set[int]) -> str:
    """Describe the slices of a validation in a card, by whether their patients were trained on.

    Args:
        fold: The fold that was held out, or "none".
        training: The training part of the card.
        validated: Patients that were validated on.
    """
    seen = validated & patients_trained_on(training)
    new = ", ".join(map(str, sorted(validated - seen)))
    if not seen:
        described = "patients that were not trained on" if fold == "none" else f"patients, fold {fold}"
    elif new:
        described = f"slices of patients that were trained on, and of patients that were not ({new})"
    else:
        described = "slices of patients that were trained on"
    return described if knows_all_patients(training) else f"{described}; what earlier training used is not known"


def _parts(training: dict) -> Iterator[dict]:
    """Yield the training part of a card, then those of the weights that it started from."""
    yield training
    while training := training.get("started_from") or {}:
        yield training
