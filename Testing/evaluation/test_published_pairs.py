"""The command that measures on slices prints tables, writes every figure, and draws the pairs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.factory import make_network
from BSAFusionLib.network.metadata import Metadata
from BSAFusionResearch.commands import _inputs
from BSAFusionResearch.evaluation import published_pairs, rotation, simulated
from BSAFusionResearch.evaluation.sheet import colored
from Testing.phantoms import save_untrained


@pytest.fixture
def weights(tmp_path):
    """A folder with random weights for CT and PET."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for modality in ("ct", "pet"):
        save_untrained(folder / f"{modality}.safetensors", modality=modality)
    return folder


def test_before_published_and_ours_by_modality_and_measure(benchmark_folder, weights, tmp_path, capsys):
    figures, sheets = tmp_path / "figures.json", tmp_path / "sheets"
    options = ["--modality", "ct", "pet", "--weights", str(weights), "--device", "cpu"]
    options += ["--sheets", str(sheets), "--json", str(figures)]
    assert main(["evaluate", "--benchmark", str(benchmark_folder), *options]) == 0

    written = json.loads(figures.read_text(encoding="utf-8"))
    assert set(written) == {"ct", "pet"}
    with np.load(benchmark_folder / "ct.npz") as arrays:
        off = np.abs(arrays["moving"].astype(float) - arrays["aligned_truth"]).mean(axis=(1, 2))
    for modality in ("ct", "pet"):
        row = written[modality]
        assert set(published_pairs.TITLES) < set(row)
        assert row["benchmark_pairs"] == 3
        for name in set(published_pairs.TITLES) - {"folded_percent"}:
            assert list(row[name]) == list(row["spread"][name]) == ["before", "published", "ours"]
        assert row["difference"]["before"] == pytest.approx(off.mean())
        assert row["spread"]["difference"]["before"] == pytest.approx(off.std())
        # What was published is the truth here, and as fused slice the MRI.
        assert row["difference"]["published"] == 0
        assert row["ssim"]["published"] == pytest.approx(1)
        assert row["correlation"]["published"] == pytest.approx(1)
        assert 0 < row["difference"]["ours"] < 60
        with Image.open(sheets / f"{modality}.png") as sheet:
            assert sheet.size == (7 * 68, 16 + 3 * 68)
    shown = capsys.readouterr().out
    assert f"{off.mean():.2f} ({off.std():.2f})" in shown or f"{off.mean():.3f} ({off.std():.3f})" in shown


@pytest.mark.parametrize(("fold", "count", "patients"), [("0", 2, [1]), ("none", 1, [2])])
def test_held_out_slices_and_turned_ones(data_folder, weights, tmp_path, capsys, fold, count, patients):
    figures = tmp_path / "figures.json"
    options = ["--modality", "ct", "--weights", str(weights / "ct.safetensors"), "--json", str(figures)]
    assert main(["evaluate", "--data", str(data_folder), "--fold", fold, "--device", "cpu", *options]) == 0

    row = json.loads(figures.read_text(encoding="utf-8"))["ct"]
    assert (row["held_out_pairs"], row["held_out_patients"]) == (count, patients)
    for name in simulated.TITLES:
        found_alone = name in ("motion_error", "undeformed_error", "simulated_folded_percent")
        assert set(row[name]) == ({"ours"} if found_alone else {"before", "ours"})
    assert set(row["rotated_end_point_error"]) == set(rotation.VERSIONS)
    assert "prealigned, ours" in capsys.readouterr().out


def test_the_colors_of_what_is_fused_are_those_of_the_registered_slice():
    rgb = np.zeros((1, 16, 16, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = 100, 50
    luminance = 0.299 * 100 + 0.587 * 50
    fused = np.full((1, 16, 16), round(luminance) + 40, np.uint8)
    registered, shown = colored(rgb, published_pairs.Answer(fused, fused, np.zeros((1, 2, 16, 16), np.float32)))
    assert (registered == rgb).all()
    np.testing.assert_array_equal(shown[0, 0, 0], (140, 90, 40))


@pytest.mark.parametrize(("convention", "registered"), [("exact", "moving_levels"), ("published", "moving_rgb")])
def test_of_colored_slices_the_levels_are_registered_and_the_luminance_is_fused(
    convention, registered, benchmark_folder
):
    """By the published layout, the luminance is registered, too; the gray slices beside it only carry the result."""
    pairs = published_pairs.load_published_pairs(benchmark_folder, "pet")
    torch.manual_seed(0)
    network = make_network(Metadata(convention=convention, modality="pet", size=64)).eval()
    first = published_pairs.answer(network, pairs)
    paler = published_pairs.answer(network, replace(pairs, moving=pairs.moving // 2 + 16))
    np.testing.assert_array_equal(first.fused, paler.fused)
    assert not np.array_equal(first.registered, paler.registered)
    turned = {name: getattr(pairs, name)[:, ::-1].copy() for name in ("moving_levels", "moving_rgb")}
    for name, slices in turned.items():
        other = published_pairs.answer(network, replace(pairs, **{name: slices}))
        assert np.array_equal(first.field, other.field) == (name != registered)
        assert np.array_equal(first.fused, other.fused) == (name != registered and name != "moving_rgb")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "There is no file"), ({"fixed": np.zeros(1)}, "lacks aligned_truth, moving")]
)
def test_a_folder_that_holds_no_benchmark_is_reported(content, said, tmp_path, capsys):
    if content is not None:
        np.savez(tmp_path / "ct.npz", **content)
    assert main(["evaluate", "--benchmark", str(tmp_path), "--modality", "ct", "--device", "cpu"]) == 2
    assert said in capsys.readouterr().err


def test_with_nothing_named_and_nothing_beside_it_says_what_to_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_inputs, "SHARED_DATA", tmp_path)
    assert main(["evaluate"]) == 2
    assert "name --benchmark DIR, --data DIR or --volumes DIR" in capsys.readouterr().err


def test_with_nothing_named_it_measures_on_what_lies_beside(benchmark_folder, weights, monkeypatch, capsys):
    monkeypatch.setattr(_inputs, "SHARED_DATA", benchmark_folder.parent)
    assert main(["evaluate", "--modality", "ct", "--weights", str(weights), "--device", "cpu"]) == 0
    assert "CT, 3 benchmark pairs" in capsys.readouterr().out
