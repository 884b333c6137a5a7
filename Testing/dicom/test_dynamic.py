"""A dynamic PET in DICOM: its images become frames by their times, and `fuse` carries every one of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import uid

from BSAFusionLib.__main__ import main
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import Scan, read_scan
from Testing.dicom.conftest import patient_name, write_dynamic_enhanced, write_series
from Testing.phantoms import save_untrained, small_head

# Three frames across midnight: 45 s, 15 s later another, 90 s after that the last.
days = ("20240301", "20240301", "20240302")
times = ("235830", "235915", "000000.5")
durations = (45.0, 30.0, 60.0)


def write_frames(folder: Path, volume: sitk.Image, by: tuple[dict[str, Any], ...], modality: str = "PT") -> None:
    """One file an image; the values of each frame are those of the volume and its number, slices scaled one by one."""
    series, slopes = uid.generate_uid(), np.arange(1, volume.GetDepth() + 1) / 8
    for number, tags in enumerate(by):
        write_series(folder, volume + number, modality, series, slopes=slopes.tolist(), Units="GML", **tags)


def frame_values(volume: sitk.Image, number: int) -> np.ndarray:
    slopes = np.arange(1, volume.GetDepth() + 1) / 8
    return (sitk.GetArrayFromImage(volume) + number) * slopes[:, None, None]


def assert_frames(scan: Scan, volume: sitk.Image, order: tuple[int, ...] = (0, 1, 2)) -> None:
    assert scan.frames is not None
    for image, number in zip(scan.frames.images, order, strict=True):
        assert np.array_equal(sitk.GetArrayFromImage(image), frame_values(volume, number).astype(np.float32))
        assert image.GetOrigin() == pytest.approx(volume.GetOrigin(), abs=1e-9)
        assert image.GetDirection() == pytest.approx(volume.GetDirection(), abs=1e-9)
        assert image.GetSpacing() == pytest.approx(volume.GetSpacing(), abs=1e-9)


def acquired(number: int) -> dict[str, Any]:
    return {"AcquisitionDate": days[number], "AcquisitionTime": times[number]}


def test_frames_by_the_times_of_their_acquisition(volume: sitk.Image, tmp_path: Path) -> None:
    by = [{**acquired(number), "ActualFrameDuration": 1000 * durations[number]} for number in range(3)]
    for number, tags in enumerate(by):
        tags["TemporalPositionIdentifier"] = 3 - number  # some scanners count backwards
    write_frames(tmp_path, volume, tuple(by))
    scan = read_scan(tmp_path, ("pet",))
    assert_frames(scan, volume)
    assert scan.frames is not None
    assert scan.frames.times() == {
        "FrameTimesStart": [0, 45, 90.5],
        "FrameDuration": list(durations),
        "Frames": 3,
        "RegisteredFrames": [1, 2, 3],
    }
    weights = np.divide(durations, sum(durations))
    mean = sum(weight * frame_values(volume, number) for number, weight in enumerate(weights))
    assert np.allclose(sitk.GetArrayFromImage(scan.image), mean, rtol=1e-6)
    assert "the mean of 3 of them, weighted by their durations, " in scan.frames.remark("")


def test_frames_by_their_reference_time_where_the_acquisition_has_one_time(volume: sitk.Image, tmp_path: Path) -> None:
    by = tuple({**acquired(0), "FrameReferenceTime": 1000 * second} for second in (75, 22.5, 110))
    write_frames(tmp_path, volume, by)
    scan = read_scan(tmp_path, ("pet",), chosen="2-3")
    assert_frames(scan, volume, (1, 0, 2))
    assert scan.frames is not None
    assert scan.frames.times() == {"FrameReferenceTime": [22.5, 75, 110], "Frames": 3, "RegisteredFrames": [2, 3]}
    assert "the mean of 2 of them, not weighted, since their durations are not known" in scan.frames.remark("")
    assert np.allclose(sitk.GetArrayFromImage(scan.image), frame_values(volume, 1), rtol=1e-6)


def test_frames_by_their_number_alone(volume: sitk.Image, tmp_path: Path) -> None:
    write_frames(tmp_path, volume, tuple({"TemporalPositionIdentifier": number} for number in (2, 3, 1)))
    assert_frames(read_scan(tmp_path, ("pet",)), volume, (2, 0, 1))


@pytest.mark.parametrize("files", [1, 3])
def test_enhanced_files_with_images_in_no_order(volume: sitk.Image, tmp_path: Path, files: int) -> None:
    random = np.random.default_rng(0)
    images = [(time, number) for time in range(2) for number in range(volume.GetDepth())]
    slopes = {image: float(slope) for image, slope in zip(images, random.uniform(0.1, 4, len(images)), strict=True)}
    shuffled = [images[place] for place in random.permutation(len(images)).tolist()]
    series = uid.generate_uid()
    for part in range(files):
        write_dynamic_enhanced(tmp_path / f"{part}.dcm", volume, shuffled[part::files], slopes, series)
    scan = read_scan(tmp_path, ("pet",))
    assert scan.frames is not None
    assert (scan.frames.starts, scan.frames.durations) == ((0, 60), (60, 120))
    stored = sitk.GetArrayFromImage(volume)
    for time, image in enumerate(scan.frames.images):
        planes = [np.roll(stored[number], time, axis=0) * slopes[time, number] for number in range(volume.GetDepth())]
        assert np.allclose(sitk.GetArrayFromImage(image), planes, rtol=1e-6)
        assert image.GetOrigin() == pytest.approx(volume.GetOrigin(), abs=1e-9)
    assert "its frames do not all state Bq/ml" in scan.remarks[-1]


def test_slices_of_one_volume_may_have_many_times(volume: sitk.Image, tmp_path: Path) -> None:
    series = uid.generate_uid()
    for part in range(3):  # three beds
        tags = {**acquired(part), "FrameReferenceTime": 1000 * part}
        bed = volume[:, :, 2 * part : 2 * part + 2]
        write_series(tmp_path, bed, "PT", series, Units="GML", **tags)
    scan = read_scan(tmp_path, ("pet",))
    assert (scan.frames, scan.remarks) == (None, ())
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume))


def test_slices_without_any_uptake_are_no_doubles(volume: sitk.Image, tmp_path: Path) -> None:
    empty, series = volume * 0, uid.generate_uid()
    for number in range(3):
        write_series(tmp_path, empty if number < 2 else volume, "PT", series, Units="GML", **acquired(number))
    scan = read_scan(tmp_path, ("pet",))
    assert scan.frames is not None and len(scan.frames.images) == 3
    assert not any("twice" in remark for remark in scan.remarks)


def test_a_missing_image_is_missed(volume: sitk.Image, tmp_path: Path) -> None:
    write_frames(tmp_path, volume, tuple(map(acquired, range(3))))
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(FusionError, match=r"3 images at some places, .* but 2 at others: some are missing"):
        read_scan(tmp_path, ("pet",))


@pytest.mark.parametrize(("modality", "wanted"), [("PT", "pet"), ("MR", "mri")])
def test_images_in_one_place_that_no_time_tells_apart_are_rejected(
    volume: sitk.Image, tmp_path: Path, modality: str, wanted: str
) -> None:
    """The phases of a heartbeat; echoes of an MRI, which has times of its own."""
    same = {"AcquisitionDate": days[0], "AcquisitionTime": times[0]} if modality == "PT" else {}
    by = tuple({**acquired(number), **same} for number in range(3))
    write_frames(tmp_path, volume, by, modality)
    with pytest.raises(FusionError, match="several images in one place"):
        read_scan(tmp_path, (wanted,))


def test_fuse_carries_every_frame_of_a_dicom_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    head, study, out = small_head(1, slices=6), tmp_path / patient_name, tmp_path / "out"
    write_series(study / "mr", small_head(0, slices=6), "MR")
    write_frames(study / "pet", head, tuple(map(acquired, range(3))))
    save_untrained(tmp_path / "weights.safetensors", modality="pet")
    command = ["fuse", study / "mr", study / "pet", "--out", out, "--frames", "1,3", "--no-check", "--one-axis"]
    options = ["--weights", tmp_path / "weights.safetensors", "--prealignment", "none"]
    assert main(list(map(str, [*command, *options]))) == 0
    assert "The PET's DICOM series has 3 frames: the mean of 2 of them" in capsys.readouterr().err
    registered, carried = (sitk.ReadImage(str(out / f"registered{name}")) for name in (".nrrd", "_frames.nii.gz"))
    assert carried.GetSize() == (*registered.GetSize(), 3)
    transform = sitk.ReadTransform(str(out / "deformation.h5"))
    inside = (slice(1, -1), slice(10, -10), slice(8, -8))  # beyond the grid of the moving volume, the value is a choice
    for number in range(3):
        moving = sitk.GetImageFromArray(frame_values(head, number).astype(np.float32))
        moving.CopyInformation(head)
        own = sitk.GetArrayFromImage(sitk.Resample(moving, registered, transform, sitk.sitkLinear, 0.0))[inside]
        assert np.abs(sitk.GetArrayFromImage(carried)[number][inside] - own).max() <= 1e-4 * own.max()
    sidecar = (out / "registered_frames.json").read_text()
    assert json.loads(sidecar) == {"FrameTimesStart": [0, 45, 90.5], "Frames": 3, "RegisteredFrames": [1, 3]}
    assert "--frames 1,3" in json.loads((out / "report.json").read_text())["run"]["command"]
    assert patient_name not in sidecar + (out / "report.json").read_text()


def test_apply_carries_every_frame_of_a_dicom_folder(
    volume: sitk.Image, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_frames(tmp_path / "pet", volume, tuple(map(acquired, range(3))))
    sitk.WriteImage(volume, str(tmp_path / "mri.nrrd"))
    sitk.WriteTransform(sitk.TranslationTransform(3, volume.GetSpacing()), str(tmp_path / "shift.tfm"))
    words = ["apply", tmp_path / "shift.tfm", tmp_path / "pet", "--reference", tmp_path / "mri.nrrd", "--out"]
    assert main(list(map(str, [*words, tmp_path / "out"]))) == 2  # as out/pet.nrrd
    assert "3 frames, which only a NIfTI can hold here; give a file that ends in .nii.gz" in capsys.readouterr().err
    assert main(list(map(str, [*words, tmp_path / "moved.nii.gz"]))) == 0
    carried = sitk.ReadImage(str(tmp_path / "moved.nii.gz"))
    transform = sitk.ReadTransform(str(tmp_path / "shift.tfm"))
    for number in range(3):
        frame = sitk.GetImageFromArray(frame_values(volume, number).astype(np.float32))
        frame.CopyInformation(volume)
        lowest = float(sitk.GetArrayFromImage(frame).min())
        expected = sitk.GetArrayFromImage(sitk.Resample(frame, volume, transform, sitk.sitkLinear, lowest))
        assert np.abs(sitk.GetArrayFromImage(carried)[number] - expected).max() < 1e-4 * expected.max()
    assert json.loads((tmp_path / "moved.json").read_text()) == {"FrameTimesStart": [0, 45, 90.5], "Frames": 3}


def test_frames_of_a_static_series_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, modality in (("mr", "MR"), ("pet", "PT")):
        write_series(tmp_path / name, small_head(0, slices=6), modality)
    command = ["fuse", tmp_path / "mr", tmp_path / "pet", "--out", tmp_path / "out", "--frames", "1"]
    assert main(list(map(str, command))) == 2
    assert "no frames to choose from" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.json").exists()
