"""Slices in the published folders become a file that training reads, with the same values."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionResearch.training.slice_pairs import load_pairs
from Testing.released import to_released

random = np.random.default_rng(0)


def write(path: Path, *channels: int) -> np.ndarray:
    values = random.integers(0, 256, (32, 48, *channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=bool(channels)), str(path))
    return values


@pytest.mark.parametrize(("modality", "channels"), [("CT", ()), ("PET", (3,)), ("SPECT", (4,))])
def test_published_folders_become_a_training_file(tmp_path: Path, modality: str, channels: tuple[int, ...]) -> None:
    written = {}
    for split, names in (("train", ("16003", "16004", "25010")), ("test", ("16007",))):
        for name in names:
            folder = tmp_path / split
            written[name] = write(folder / "MRI" / f"{name}.png"), write(folder / modality / f"{name}.png", *channels)
    words = ["import_slices", tmp_path / "train", "--test", tmp_path / "test", "--out", tmp_path / "out"]
    assert main(list(map(str, words))) == 0
    with np.load(tmp_path / "out" / f"{modality.lower()}.npz") as arrays:
        assert arrays["split"].tolist() == ["train", "train", "train", "test"]
        for number, mri, moving in zip(arrays["id"], arrays["mri"], arrays["moving"], strict=True):
            assert np.array_equal(mri, written[str(number)][0])
            assert np.array_equal(moving, written[str(number)][1][..., :3] if channels else written[str(number)][1])
    training, validation = load_pairs(tmp_path / "out", modality.lower())
    assert (set(training.patient), set(validation.patient)) == ({25}, {16})


def test_a_slice_without_its_partner_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("MRI/16003", "MRI/16004", "CT/16003"):
        write(tmp_path / "train" / f"{name}.png")
    assert main(["import_slices", str(tmp_path / "train"), "--out", str(tmp_path / "out")]) == 2
    assert "16004.png is in one of the two folders only" in capsys.readouterr().err
    assert main(["import_slices", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "must hold a folder MRI and one folder CT, PET or SPECT" in capsys.readouterr().err


def test_the_lines_of_the_documentation_load_a_released_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).resolve().parents[2] / "Documentation" / "developers.md").read_text(encoding="utf-8")
    lines = text[text.index("    from BSAFusionLib.network.weights import load_network") :].splitlines()[:3]
    torch.save(to_released(PublishedBSAFusion()), tmp_path / "BSAFusion_CT.pkl")
    monkeypatch.chdir(tmp_path)
    found = {"mri": torch.rand(1, 1, 64, 64), "ct": torch.rand(1, 1, 64, 64)}
    with torch.no_grad():
        exec("\n".join(line.strip() for line in lines), found)
    assert found["fused"].shape == (1, 1, 64, 64)
    assert found["field"].shape == (1, 2, 64, 64)
