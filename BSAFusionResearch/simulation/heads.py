"""Names which labelled heads may be used for what, and reads them."""

from pathlib import Path

TRAINING_HEADS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10")
"""Heads that networks are trained on."""

CHOOSING_HEADS = ("11", "12")
"""Heads that settings are chosen, calibrated, fitted and tuned on, the baselines' too."""

REPORTED_HEADS = ("13", "14", "15")
"""Heads that are only measured and reported, never used to choose anything."""


def head_files(folder: Path, heads: tuple[str, ...]) -> list[Path]:
    """Return the label files of `heads` in `folder`, such as head_files(folder, TRAINING_HEADS)."""
    return [Path(folder) / f"{head}.nii.gz" for head in heads]
