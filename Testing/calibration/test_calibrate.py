"""The command takes the card that belongs to the weights, and prepared patients that belong to heads and slices."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.weights_file import sha256
from BSAFusionLib.pipeline.calibration import Calibration, uncalibrated
from BSAFusionResearch.calibration import cases as cases_module
from BSAFusionResearch.calibration import fit
from BSAFusionResearch.commands import calibrate
from BSAFusionResearch.evaluation_heads.cases import ELASTIC_MM, drawn_cases, varied_cases
from BSAFusionResearch.simulation.heads import LENGTH_HEADS, REPORTED_HEADS
from Testing.phantoms import save_untrained

KNOWN = replace(uncalibrated(1.0), sigma_mm=25.0)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Those of a small network for CT, with a card and a calibration."""
    path = tmp_path / "ct.safetensors"
    save_untrained(path, size=32)
    card = {"sha256": sha256(path.read_bytes()), "modality": "ct", "calibration": {"ct": KNOWN.as_dict()}}
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    return path


@pytest.fixture
def fitted(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, dict]]]:
    """Run the command without any fit, with more options, and return what was to be fitted with which card."""
    asked: list[tuple[str, dict]] = []
    for head in LENGTH_HEADS:
        (tmp_path / f"{head}.nii.gz").write_text(head, encoding="utf-8")
    monkeypatch.setattr(calibrate, "_fit", lambda _, modality, __, card: asked.append((modality, dict(card))) or KNOWN)
    options = ["--heads", str(tmp_path), "--weights", str(weights), "--out", str(tmp_path / "out")]

    def run(*more: str) -> list[tuple[str, dict]]:
        asked.clear()
        (tmp_path / "out").mkdir(exist_ok=True)
        assert main(["calibrate", *options, *more]) == 0
        return list(asked)

    return run


def test_the_card_of_an_earlier_run_is_continued_for_the_same_weights_alone(
    fitted: Callable[..., list[tuple[str, dict]]], weights: Path, tmp_path: Path
) -> None:
    card, used = tmp_path / "out" / "ct.json", sha256(weights.read_bytes())
    card.parent.mkdir()
    for hashed, continued in (("0" * 64, False), (used, True)):
        card.write_text(json.dumps({"sha256": hashed, "modality": "ct", "training": "earlier"}), encoding="utf-8")
        ((_, known),) = fitted("--modality", "ct")
        assert known["sha256"] == json.loads(card.read_text(encoding="utf-8"))["sha256"] == used
        assert ("training" in known) is continued
        assert ("calibration" in known) is not continued


def test_one_file_of_weights_is_fitted_for_the_modality_that_it_is_for(
    fitted: Callable[..., list[tuple[str, dict]]],
) -> None:
    assert [modality for modality, _ in fitted()] == ["ct"]
    assert [modality for modality, _ in fitted("--modality", "pet", "ct")] == ["pet", "ct"]


@pytest.mark.parametrize(
    ("only_lengths", "expected"), [(True, [(12, 36, 25.0)]), (False, [(2, 27, 18.0), (12, 36, 18.0)])]
)
def test_lengths_are_fitted_on_more_heads_and_alone_with_the_smoothness_of_the_card(
    only_lengths: bool, expected: list[tuple[int, int, float]], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, float]] = []

    def show(_: Any, patients: list, __: Path, sigma_mm: float, known: Calibration) -> None:
        asked.append((len({case.head for case in patients}), len(patients), sigma_mm))

    monkeypatch.setattr(calibrate, "_cases", show)
    monkeypatch.setattr(calibrate, "_print_figures", lambda *_: None)
    monkeypatch.setattr(fit, "fit_lengths", lambda _, known: replace(known, length_scale=2.0))
    monkeypatch.setattr(fit, "fit_calibration", lambda _, sigma_mm: replace(KNOWN, sigma_mm=sigma_mm))
    monkeypatch.setattr(fit, "mean_cost", lambda *_: 0.0)
    arguments = SimpleNamespace(only_lengths=only_lengths, sigma=18.0, cases=27)
    card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    assert calibrate._fit(arguments, "ct", weights, card).length_scale == 2.0
    assert asked == expected


def test_varied_patients_take_every_size_of_every_head_with_motions_and_persons_in_turn() -> None:
    cases = varied_cases("ct", LENGTH_HEADS)
    assert {(case.head, case.elastic_mm) for case in cases} == set(product(LENGTH_HEADS, ELASTIC_MM))
    assert len(cases) == 3 * len(LENGTH_HEADS)
    assert not set(LENGTH_HEADS) & set(REPORTED_HEADS)
    for size in ELASTIC_MM:
        assert len({(case.rotation_deg, case.draw) for case in cases if case.elastic_mm == size}) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cases", "0"], "1 to 36 patients of each modality, not 0"),
        (["--cases", "-1"], "not -1"),
        (["--cases", "37"], "not 37"),
        (["--sigma", "-1"], "sigma of -1 mm"),
        (["--sigma", "nan"], "--sigma"),
    ],
)
def test_numbers_that_nothing_can_be_fitted_with_are_reported_first(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["calibrate", "--heads", str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def prepared(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Bring two patients to the fit, and return the names of those that were prepared for it."""
    for head in ("11", "12"):
        (tmp_path / f"{head}.nii.gz").write_text(head, encoding="utf-8")
    made: list[str] = []

    def save(case: Any, path: Path, origin: dict) -> None:
        path.write_text(json.dumps(origin), encoding="utf-8")

    monkeypatch.setattr(cases_module, "prepare", lambda case, *_: made.append(case.name))
    monkeypatch.setattr(cases_module, "save_prepared", save)
    monkeypatch.setattr(cases_module, "load_prepared", lambda path: path.stem)
    monkeypatch.setattr(cases_module, "read_origin", lambda path: json.loads(path.read_text(encoding="utf-8")))

    def bring() -> list[str]:
        made.clear()
        every = drawn_cases("ct", ("11", "12"))[:2]
        assert len(list(cases_module.prepared_cases(every, tmp_path, weights, tmp_path / "prepared"))) == 2
        return list(made)

    return bring


def test_patients_of_other_heads_or_slices_are_prepared_again(
    prepared: Callable[[], list[str]], weights: Path, tmp_path: Path
) -> None:
    first = prepared()
    assert len(first) == 2 and {name[:2] for name in first} == {"11", "12"}
    assert prepared() == []
    (tmp_path / "12.nii.gz").write_text("another person", encoding="utf-8")
    assert [name[:2] for name in prepared()] == ["12"]
    save_untrained(weights, size=64)
    weights.with_suffix(".json").unlink()
    assert len(prepared()) == 2
    for path in (tmp_path / "prepared").iterdir():  # as an earlier version wrote them
        path.write_text("null", encoding="utf-8")
    assert prepared() == []
