"""One pair of PNG slices: registered and fused in their own size, in gray or in color."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.resources import SAMPLE_DATA

shift_px = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slice of the sample MRI, no multiple of 16 in size, and what a CT might show of it, 5 pixels to the right."""
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(SAMPLE_DATA / "mri_t1.nii.gz"))).astype(float)
    plane = volume[len(volume) // 2]
    gray = np.uint8(255 * np.clip(plane / np.percentile(plane, 99.5), 0, 1))
    write(tmp_path / "mri.png", gray)
    write(tmp_path / "ct.png", np.roll(gray, shift_px, axis=1))
    write(tmp_path / "pet.png", np.stack([gray, gray // 2, 255 - gray], axis=-1))
    return tmp_path


def write(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=values.ndim == 3), str(path))


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float)


def fuse(folder: Path, moving: str, *options: str) -> int:
    return main(["fuse", str(folder / "mri.png"), str(folder / moving), "--out", str(folder / "out"), *options])


def test_a_moved_slice_is_brought_back_and_fused_in_its_own_size(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert fuse(folder, "ct.png") == 0
    said = capsys.readouterr()
    assert "ct.png was taken for a CT; if it is none, give --modality." in said.err
    assert (
        "pixels on average.\nNothing checks whether slices are registered rightly; look at fused_slice.png" in said.out
    )
    assert {path.name for path in (folder / "out").iterdir()} == {"fused_slice.png", "registered_slice.png"}
    mri, moving, registered = (
        read(path) for path in (folder / "mri.png", folder / "ct.png", folder / "out/registered_slice.png")
    )
    assert registered.shape == read(folder / "out" / "fused_slice.png").shape == mri.shape
    before, after = (np.abs(image - mri).mean() for image in (moving, registered))
    assert after < 0.5 * before


def test_a_slice_in_color_keeps_its_colors(folder: Path) -> None:
    assert fuse(folder, "pet.png", "--strength", "0") == 0
    assert read(folder / "out" / "registered_slice.png") == pytest.approx(read(folder / "pet.png"), abs=1)
    fused = read(folder / "out" / "fused_slice.png")
    change = fused - read(folder / "pet.png")
    inside = ((fused > 0) & (fused < 255)).all(axis=-1)
    assert inside.mean() > 0.1
    assert np.ptp(change[inside], axis=-1).max() <= 2  # Y alone changes: red, green and blue alike


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--prealignment", "none"), "--prealignment does not apply to PNG slices"),
        (("--strict",), "--strict does not apply to PNG slices"),
    ],
)
def test_choices_that_slices_cannot_have_are_rejected(
    folder: Path, capsys: pytest.CaptureFixture, options: tuple[str, ...], said: str
) -> None:
    assert fuse(folder, "ct.png", *options) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_slices_of_two_sizes_and_a_colored_mri_are_rejected(folder: Path, capsys: pytest.CaptureFixture) -> None:
    write(folder / "small.png", np.zeros((20, 30), np.uint8))
    assert fuse(folder, "small.png") == 2
    assert "The slices differ in size" in capsys.readouterr().err
    assert main(["fuse", str(folder / "pet.png"), str(folder / "mri.png"), "--out", str(folder / "out")]) == 2
    assert "give the MRI first" in capsys.readouterr().err
