"""A dynamic PET: the mean of its frames is registered, every frame is carried along, and its times are kept."""

import gzip
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files import dynamic
from BSAFusionLib.files.dynamic import Frames, is_dynamic, read_dynamic
from BSAFusionLib.files.inputs import Pair, read_pair
from BSAFusionLib.files.nifti_header import clear_time
from BSAFusionLib.geometry.fields import resample_through
from BSAFusionLib.viewer.result_folder import read_result
from Testing.ground.nifti_files import example, write_nifti
from Testing.phantoms import save_untrained, small_head

durations = [10.0, 30.0, 60.0]
levels = (1.0, 4.0, 2.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An MRI, and a PET of three frames that differ in their level and lie 4 mm aside."""
    sitk.WriteImage(small_head(0, slices=6), str(tmp_path / "mri.nii.gz"))
    head = sitk.Cast(small_head(1, slices=6), sitk.sitkFloat32)
    sitk.WriteImage(sitk.JoinSeries([head * level for level in levels]), str(tmp_path / "pet.nii.gz"))
    times = {"Modality": "PT", "FrameTimesStart": [0, 10, 40], "FrameDuration": durations}
    (tmp_path / "pet.json").write_text(json.dumps(times))
    save_untrained(tmp_path / "weights.safetensors", modality="pet")
    return tmp_path


def frame(image: sitk.Image, number: int) -> np.ndarray:
    return sitk.GetArrayFromImage(image)[number]


def test_the_mean_of_the_chosen_frames_is_weighted_by_their_durations(folder: Path) -> None:
    head = sitk.GetArrayFromImage(small_head(1, slices=6)).astype(np.float32)
    for chosen, level in ((None, (10 * 1 + 30 * 4 + 60 * 2) / 100), ("1,3", (10 * 1 + 60 * 2) / 70), ("2", 4.0)):
        mean, frames = read_dynamic(folder / "pet.nii.gz", chosen)
        assert sitk.GetArrayFromImage(mean.image) == pytest.approx(head * level, rel=1e-5)
        assert len(frames.images) == 3
    assert frames.times() == {
        "FrameTimesStart": [0, 10, 40],
        "FrameDuration": durations,
        "Frames": 3,
        "RegisteredFrames": [2],
    }


def test_times_come_from_the_header_where_no_sidecar_has_them_and_none_are_invented(folder: Path) -> None:
    (folder / "pet.json").unlink()
    _, frames = read_dynamic(folder / "pet.nii.gz", None)
    assert frames.starts == (0.0, 1.0, 2.0) and frames.durations == (1.0, 1.0, 1.0)  # ITK's own spacing of a series
    assert frames.remark("pet").startswith(
        "pet has 3 frames: the mean of 3 of them, weighted alike, since by the header each took 1 s, was registered"
    )
    content = bytearray(sitk_unpacked(folder))
    content[123] = 2  # xyzt_units: mm, and no unit of time
    (folder / "unknown.nii").write_bytes(content)
    _, frames = read_dynamic(folder / "unknown.nii", None)
    assert frames.times() == {"Frames": 3, "RegisteredFrames": [1, 2, 3]}
    assert "not weighted, since their durations are not known" in frames.remark("unknown.nii")


def test_frames_of_a_dataset_have_the_times_that_they_inherit(folder: Path) -> None:
    """Also a fused pair: its page has the unit, and its mean the weights, of a file in the root of the dataset."""
    (folder / "sub-1" / "pet").mkdir(parents=True)
    volume = (folder / "pet.nii.gz").rename(folder / "sub-1" / "pet" / "sub-1_trc-PIB_pet.nii.gz")
    inherited = json.loads((folder / "pet.json").read_text())
    (folder / "pet.json").write_text(json.dumps({**inherited, "Units": "Bq/mL"}))
    (folder / "dataset_description.json").write_text("{}")
    _, moving = read_pair(Pair(folder / "mri.nii.gz", volume))
    assert (moving.modality, moving.unit) == ("pet", "Bq/mL")
    assert moving.frames is not None
    assert (moving.frames.starts, moving.frames.durations) == ((0, 10, 40), (10, 30, 60))
    assert "weighted by their durations" in moving.remarks[0]
    head = sitk.GetArrayFromImage(small_head(1, slices=6)).astype(np.float32)
    assert sitk.GetArrayFromImage(moving.image) == pytest.approx(head * (10 * 1 + 30 * 4 + 60 * 2) / 100, rel=1e-5)


@pytest.mark.parametrize("durations", ["[10, 30, NaN]", "[10, 0, 60]", "[10, 30]", "10", '["long"]'])
def test_durations_that_are_none_are_not_used(folder: Path, durations: str) -> None:
    (folder / "pet.json").write_text(f'{{"FrameTimesStart": [0, 10, 40], "FrameDuration": {durations}}}')
    mean, frames = read_dynamic(folder / "pet.nii.gz", None)
    assert "their durations are not known" in frames.remark("pet") or frames.by_header
    assert np.isfinite(sitk.GetArrayFromImage(mean.image)).all()


def sitk_unpacked(folder: Path) -> bytes:
    sitk.WriteImage(sitk.ReadImage(str(folder / "pet.nii.gz")), str(folder / "plain.nii"))
    return (folder / "plain.nii").read_bytes()


def test_frames_in_color_are_rejected(folder: Path) -> None:
    color = write_nifti(folder / "color.nii", example(), datatype=128, bits=24, dim=(4, 28, 25, 3, 2, 1, 1, 1))
    with pytest.raises(FusionError, match=r"have 3 values per voxel \(colors\?\); give frames of one value"):
        read_dynamic(color, None)


@pytest.mark.parametrize("chosen", ["0", "4", "2-1", "1-9", "one", "1,,2"])
def test_frames_that_do_not_exist_are_rejected(folder: Path, chosen: str) -> None:
    with pytest.raises(FusionError, match=r"do not exist; give numbers from 1 to 3"):
        read_dynamic(folder / "pet.nii.gz", chosen)


def test_frames_of_a_volume_without_time_are_rejected(folder: Path) -> None:
    sitk.WriteImage(small_head(1, slices=6), str(folder / "static.nii.gz"))
    assert not is_dynamic(folder / "static.nii.gz")
    with pytest.raises(FusionError, match="no frames to choose from"):
        read_pair(Pair(folder / "mri.nii.gz", folder / "static.nii.gz", "pet", frames="1"))


def test_fuse_carries_every_frame_as_it_carries_the_mean(folder: Path, capsys: pytest.CaptureFixture) -> None:
    out = folder / "out"
    command = ["fuse", folder / "mri.nii.gz", folder / "pet.nii.gz", "--out", out, "--frames", "2-3", "--no-check"]
    options = ["--weights", folder / "weights.safetensors", "--one-axis", "--prealignment", "none"]
    assert main(list(map(str, [*command, *options]))) == 0
    said = capsys.readouterr()
    for printed in (said.err, said.out):
        assert printed.count("pet.nii.gz has 3 frames: the mean of 2 of them") == 1
    carried = sitk.ReadImage(str(out / "registered_frames.nii.gz"))
    registered = sitk.ReadImage(str(out / "registered.nrrd"))
    assert carried.GetSize() == (*registered.GetSize(), 3)
    assert carried.GetOrigin()[:3] == pytest.approx(registered.GetOrigin())
    transform = sitk.ReadTransform(str(out / "deformation.h5"))
    moving = sitk.ReadImage(str(folder / "pet.nii.gz"))
    for number in range(3):
        own = sitk.Resample(moving[:, :, :, number], registered, transform, sitk.sitkLinear, 0.0)
        inside = (slice(1, -1), slice(10, -10), slice(8, -8))
        expected = sitk.GetArrayFromImage(own)[inside]
        assert np.abs(frame(carried, number)[inside] - expected).max() <= 1e-2 * expected.max()
    mean = (30 * frame(carried, 1) + 60 * frame(carried, 2)) / 90
    assert sitk.GetArrayFromImage(registered) == pytest.approx(mean, rel=1e-3, abs=1e-2)
    times = json.loads((out / "registered_frames.json").read_text())
    assert times["FrameDuration"] == durations and times["RegisteredFrames"] == [2, 3]
    report = json.loads((out / "report.json").read_text())
    assert report["files"]["frames"] == "registered_frames.nii.gz"
    assert "--frames 2-3" in report["run"]["command"] and report["registered_frames"] == [2, 3]
    shown = read_result(out)
    assert shown.missing == () and shown.moving is not None
    expected = sitk.GetArrayFromImage(read_dynamic(folder / "pet.nii.gz", "2-3")[0].image)
    assert np.array_equal(sitk.GetArrayFromImage(shown.moving), expected)
    sitk.WriteImage(sitk.ReadImage(str(folder / "pet.nii.gz"))[:, :, :, 1], str(folder / "static.nii.gz"))
    static = ["fuse", folder / "mri.nii.gz", folder / "static.nii.gz", "--modality", "pet", "--out", out]
    static += ["--strength", 0, "--quiet", "--threads", 2]
    capsys.readouterr()
    assert main(list(map(str, [*static, *options]))) == 0
    assert capsys.readouterr().err == ""
    assert not list(out.glob("registered_frames*"))  # of the earlier run


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
@pytest.mark.parametrize("starts", [(5.0, 15.0, 25.0), (0.0, 10.0, 40.0)])
def test_carried_frames_are_written_one_by_one_as_itk_would_write_them_all(
    tmp_path: Path, name: str, starts: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tuple(sitk.Cast(small_head(shift, slices=6), sitk.sitkFloat32) for shift in (0, 1, 2))
    frames = Frames(images, starts, (), (0, 1, 2))
    grid, transform = sitk.Image(images[0])[3:, 2:, 1:], sitk.TranslationTransform(3, (4.0, 0.0, 0.0))
    alive: list[weakref.ref] = []

    def resample(*arguments: Any) -> sitk.Image:
        assert sum(each() is not None for each in alive) <= 1  # the former one
        frame = resample_through(*arguments)
        alive.append(weakref.ref(frame))
        return frame

    monkeypatch.setattr(dynamic, "resample_through", resample)
    frames.write_carried(tmp_path / name, grid, transform)
    assert len(alive) == 3 and [path.name for path in tmp_path.iterdir()] == [name]
    carried = [resample_through(image, grid, transform) for image in images]
    step = 10.0 if starts[0] else None
    joined = sitk.JoinSeries(carried, starts[0] if step else 0.0, step or 1.0)
    sitk.WriteImage(joined, str(tmp_path / "expected.nii"))
    if step is None:
        clear_time(tmp_path / "expected.nii")
    content = (tmp_path / name).read_bytes()
    assert (gzip.decompress(content) if name.endswith(".gz") else content) == (tmp_path / "expected.nii").read_bytes()
