"""Volumes are read whole or refused in a sentence, and results replace older ones only when they are complete."""

import errno
import os
import re
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.atomic import check_writable, written_whole
from BSAFusionLib.files.volumes import read_volume, write_transform, write_volume

kinds = ["nii.gz", "nii", "nrrd", "mha"]


@pytest.fixture
def volume() -> sitk.Image:
    voxels = np.random.default_rng(0).integers(0, 1000, (5, 6, 7)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1, 2, 3))
    return image


@pytest.mark.parametrize("kind", kinds)
def test_a_whole_volume_is_read_as_it_was_written(volume: sitk.Image, tmp_path: Path, kind: str) -> None:
    sitk.WriteImage(volume, str(tmp_path / f"volume.{kind}"))
    read = read_volume(tmp_path / f"volume.{kind}")
    assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(volume))
    assert read.GetSpacing() == volume.GetSpacing()


@pytest.mark.parametrize(
    ("noisy", "kind", "packed"), [(False, "nrrd", True), (True, "nrrd", False), (True, "nii.gz", True)]
)
def test_a_nrrd_is_compressed_where_that_makes_it_smaller(tmp_path: Path, noisy: bool, kind: str, packed: bool) -> None:
    noise = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    path, image = tmp_path / f"volume.{kind}", sitk.GetImageFromArray(noise if noisy else np.rint(noise))
    write_volume(image, path)
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(path)), sitk.GetArrayFromImage(image))
    content = path.read_bytes()
    assert (b"encoding: gzip" in content[:1000] or content.startswith(b"\x1f\x8b")) == packed


@pytest.mark.parametrize("kind", kinds)
def test_a_truncated_volume_is_refused(volume: sitk.Image, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"volume.{kind}"
    sitk.WriteImage(volume, str(path))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(FusionError, match="cut short"):
        read_volume(path)


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "nhdr", "mha", "mhd"])
def test_a_volume_that_was_damaged_in_compressed_voxels_is_refused(
    volume: sitk.Image, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"volume.{kind}"
    sitk.WriteImage(volume, str(path), useCompression=True)
    data = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size) if kind in ("nhdr", "mhd") else path
    content = bytearray(data.read_bytes())
    content[-200:-100] = bytes(100)
    data.write_bytes(content)
    with pytest.raises(FusionError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("changed", ["unpacked", "one slice less", "cut short without a size"])
def test_a_metaimage_of_fewer_voxels_than_its_header_says_is_refused(
    volume: sitk.Image, tmp_path: Path, changed: str
) -> None:
    path, data, (*_, depth) = tmp_path / "volume.mhd", tmp_path / "volume.zraw", volume.GetSize()
    sitk.WriteImage(volume, str(path), useCompression=True)
    header, voxels = path.read_text(), sitk.GetArrayFromImage(volume)
    if changed == "unpacked":
        data.write_bytes(zlib.compress(voxels[1:].tobytes()))
        header = re.sub("CompressedDataSize = .*", f"CompressedDataSize = {data.stat().st_size}", header)
    elif changed == "one slice less":
        header = re.sub("Compressed.*\n", "", header).replace(" = volume.zraw", " = LIST")
        for number in range(depth - 1):
            (tmp_path / f"{number}.raw").write_bytes(voxels[number].tobytes())
            header += f"{number}.raw\n"
    else:
        data.write_bytes(data.read_bytes()[:-50])
        header = re.sub("CompressedDataSize.*\n", "", header)
    path.write_text(header)
    with pytest.raises(FusionError, match="cut short"):
        read_volume(path)


@pytest.mark.parametrize(("limits", "whole"), [("1 6 1", True), ("1 3 1", False), ("1 5 2", False)])
def test_a_metaimage_needs_as_many_numbered_files_as_slices(tmp_path: Path, limits: str, whole: bool) -> None:
    """More of them lie beside those that its header names."""
    voxels = np.arange(6 * 9 * 7, dtype="<i2").reshape(6, 9, 7)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "volume.mhd"))
    for number, plane in enumerate(voxels, start=1):
        (tmp_path / f"s{number:02}.raw").write_bytes(plane.tobytes())
    header = (tmp_path / "volume.mhd").read_text(encoding="utf-8")
    (tmp_path / "volume.mhd").write_text(header.replace("volume.raw", f"s%02d.raw {limits}"), encoding="utf-8")
    if whole:
        assert np.array_equal(sitk.GetArrayFromImage(read_volume(tmp_path / "volume.mhd")), voxels)
    else:
        with pytest.raises(FusionError, match="cut short"):
            read_volume(tmp_path / "volume.mhd")


def test_a_metaimage_that_cannot_be_unpacked_without_its_size_is_refused(volume: sitk.Image, tmp_path: Path) -> None:
    path = tmp_path / "volume.mha"
    sitk.WriteImage(volume, str(path), useCompression=True)
    path.write_bytes(re.sub(b"CompressedDataSize.*\n", b"", path.read_bytes()))
    with pytest.raises(FusionError, match="does not say CompressedDataSize"):
        read_volume(path)


def test_a_file_that_is_no_volume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("no volume")
    with pytest.raises(FusionError, match="cannot be read"):
        read_volume(tmp_path / "text.nii.gz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="There is no file"):
        read_volume(tmp_path / "missing.nrrd")


def test_a_file_of_four_dimensions_is_refused(volume: sitk.Image, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(tmp_path / "series.nii.gz"))
    with pytest.raises(FusionError, match="4 dimensions"):
        read_volume(tmp_path / "series.nii.gz")


def test_a_written_transform_carries_points_as_it_does(tmp_path: Path) -> None:
    field = sitk.GetImageFromArray(np.full((4, 4, 4, 3), (1.0, -2.0, 3.0)), isVector=True)
    write_transform(sitk.DisplacementFieldTransform(sitk.Image(field)), tmp_path / "field.h5")
    assert sitk.ReadTransform(str(tmp_path / "field.h5")).TransformPoint((1, 1, 1)) == pytest.approx((2, -1, 4))


def test_results_appear_only_when_all_are_complete(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), written_whole(tmp_path) as unfinished:  # noqa: PT012
        (unfinished / "a.txt").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
    with written_whole(tmp_path) as unfinished:
        (unfinished / "a.txt").write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_where_one_file_cannot_be_replaced_none_is(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("old")
    (tmp_path / "c.txt" / "within").mkdir(parents=True)  # as a file that another program keeps open on Windows
    with pytest.raises(FusionError, match=r"c\.txt is a folder"), written_whole(tmp_path) as unfinished:  # noqa: PT012
        for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
            (unfinished / name).write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.txt", "c.txt"]
    assert (tmp_path / "b.txt").read_text() == "old"
    assert (tmp_path / "c.txt" / "within").is_dir()


@pytest.mark.parametrize("moves", range(1, 6))
def test_a_user_who_stops_while_results_are_replaced_keeps_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    older = {name: f"old {name}" for name in ("a.txt", "b.txt", "gone.txt")}
    for name, content in older.items():
        (tmp_path / name).write_text(content)
    done, replace = [], os.replace

    def stop(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(target)
        if len(done) == moves:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path, ["gone.txt"]) as unfinished:  # noqa: PT012
        for name in ("a.txt", "b.txt", "c.txt"):
            (unfinished / name).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == older


def test_the_folder_of_another_job_may_vanish_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*listed(self, pattern), self / ".unfinished-elsewhere"])
    with written_whole(tmp_path) as unfinished:
        (unfinished / "a.txt").write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_what_a_killed_run_left_is_removed_after_a_day(tmp_path: Path) -> None:
    for name, age_seconds in (("old", 25 * 3600), ("new", 60)):
        (tmp_path / f".unfinished-{name}" / "within").mkdir(parents=True)
        os.utime(tmp_path / f".unfinished-{name}", (time.time() - age_seconds,) * 2)
    with written_whole(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".unfinished-new"]


def test_a_result_replaces_a_link_and_not_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    (tmp_path / "hard.txt").hardlink_to(tmp_path / "elsewhere.txt")
    with written_whole(tmp_path) as unfinished:
        for name in ("link.txt", "hard.txt"):
            (unfinished / name).write_text("new")
    assert (tmp_path / "elsewhere.txt").read_text() == "old"
    assert not (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "link.txt").read_text() == (tmp_path / "hard.txt").read_text() == "new"


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = f"{tmp_path / 'file'} is a file; choose another folder for the results."
    for folder in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(FusionError, match=re.escape(message)), written_whole(folder):
            pass


def test_a_file_elsewhere_that_the_system_refuses_is_named_and_not_the_folder_of_the_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for refused, said in (
        (tmp_path / "mri.nii", f"The file {tmp_path / 'mri.nii'} cannot be read or written (Permission denied)"),
        (out / "fused.nrrd", f"The results cannot be written to {out} (Permission denied)"),
        (None, f"The results cannot be written to {out} (Permission denied)"),
    ):
        with pytest.raises(FusionError, match=re.escape(said)), written_whole(out):
            raise PermissionError(errno.EACCES, "Permission denied", refused and str(refused))


def test_a_file_is_known_to_be_writable_before_it_is_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "a.json")
    (tmp_path / "file").write_text("old")
    check_writable(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
    for path in (tmp_path, tmp_path / "file" / "a.json"):
        with pytest.raises(FusionError, match=re.escape(f"The file {path} cannot be written; choose another place")):
            check_writable(path)
