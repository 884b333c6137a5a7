"""Slices of simulated patients to train on: aligned, as the pipeline shows them, with heads kept apart."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib import __main__ as command_line
from BSAFusionResearch.simulation import head_slices
from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, TRAINING_HEADS
from BSAFusionResearch.training.slice_pairs import load_pairs
from Testing.phantoms import labeled_head


def test_slices_of_a_head_are_aligned_and_filled() -> None:
    anatomy = head_slices.draw_anatomy(labeled_head(), seed=3)
    fixed, moving = head_slices.scan_aligned(anatomy, "ct", seed=3)
    assert fixed.shape == moving.shape == (len(fixed), 256, 256)
    assert fixed.dtype == moving.dtype == np.uint8
    assert min((fixed > 12).mean(axis=(1, 2)).min(), (moving > 12).mean(axis=(1, 2)).min()) > 0.005
    # Both show the same head: where the CT shows bone or brain, the MRI mostly shows something.
    inside = moving > 80
    assert (fixed[inside] > 12).mean() > (fixed[np.roll(inside, 20, axis=2)] > 12).mean()


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    folder = tmp_path / "heads"
    folder.mkdir()
    for head in (*TRAINING_HEADS, *CHOOSING_HEADS, *REPORTED_HEADS):
        sitk.WriteImage(labeled_head(6.0), folder / f"{head}.nii.gz")
    return folder


def test_the_command_continues_and_keeps_the_heads_that_choose_or_report_apart(
    heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = []

    def scan(anatomy: object, modality: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        scanned.append((modality, seed))
        return np.full((2, 2, 256, 256), seed % 250, np.uint8)

    monkeypatch.setattr(head_slices, "scan_aligned", scan)  # seconds a scan, and another test's matter
    out = tmp_path / "out"
    command = ["cut_slices", "--heads", str(heads), "--out", str(out), "--patients", "1"]

    def assert_validating_on(validating: tuple[str, ...]) -> None:
        training, validation = load_pairs(out, "all", None)
        assert set(training.patient) == {900 + int(head) for head in TRAINING_HEADS}
        assert set(validation.patient) == {900 + int(head) for head in validating}

    count = 3 * len((*TRAINING_HEADS, *CHOOSING_HEADS))
    for _ in range(2):
        assert command_line.main(command) == 0
        assert len(scanned) == count
    assert_validating_on(CHOOSING_HEADS)
    for _ in range(2):  # beside the parts of the heads that choose
        assert command_line.main([*command, "--reported"]) == 0
        assert len(scanned) == count + 3 * len(REPORTED_HEADS)
    assert_validating_on(REPORTED_HEADS)


def test_slices_of_another_head_are_cut_again(heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned, parts = [], tmp_path / "parts"

    def scan(*_: object) -> np.ndarray:
        scanned.append(1)
        return np.zeros((2, 2, 256, 256), np.uint8)

    monkeypatch.setattr(head_slices, "draw_anatomy", lambda *_: None)
    monkeypatch.setattr(head_slices, "scan_aligned", scan)
    for spacing, count in ((6.0, 3), (6.0, 3), (8.0, 6)):
        sitk.WriteImage(labeled_head(spacing), heads / "01.nii.gz")
        head_slices.write_parts(heads, "01", 0, tmp_path)
        assert len(scanned) == count
    assert head_slices.count_unmarked(tmp_path, [("01", 0), ("02", 0)]) == 0
    for path in parts.iterdir():  # as an earlier version wrote them
        with np.load(path) as content:
            arrays = {name: content[name] for name in head_slices.ARRAYS}
        np.savez_compressed(path, **arrays)
    head_slices.write_parts(heads, "01", 0, tmp_path)
    assert len(scanned) == 6
    assert head_slices.count_unmarked(tmp_path, [("01", 0), ("02", 0)]) == 3
