"""Volumes are read by what they hold, whatever format and compression their names say."""

import bz2
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.content import under_right_name
from BSAFusionLib.files.volumes import load_volume
from Testing.ground.nifti_files import example


def assert_is_example(path: Path) -> None:
    volume = load_volume(path)
    assert volume.remarks == ()
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(example()))
    for index in ((0, 0, 0), (27, 24, 17)):
        expected = example().TransformIndexToPhysicalPoint(index)
        assert volume.image.TransformIndexToPhysicalPoint(index) == pytest.approx(expected, abs=1e-4)


def written(folder: Path, name: str) -> Path:
    sitk.WriteImage(example(), str(folder / name))
    return folder / name


@pytest.mark.parametrize("held", ["a.nrrd", "a.mha", "a.nii"])
@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz", "b.nrrd", "b.mha", "b.mhd", "b.MHA", "b.img", "b.hdr", "b"])
def test_a_name_may_say_another_format(tmp_path: Path, held: str, name: str) -> None:
    assert_is_example(written(tmp_path, held).rename(tmp_path / name))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("held", ["a.nrrd", "a.mha", "a.nii"])
@pytest.mark.parametrize("ending", ["", ".gz", ".bz2"])
def test_a_file_may_be_compressed_as_a_whole(
    tmp_path: Path, compress: Callable[[bytes], bytes], held: str, ending: str
) -> None:
    path = tmp_path / f"packed-{held}{ending}"
    path.write_bytes(compress(written(tmp_path, held).read_bytes()))
    assert_is_example(path)


@pytest.mark.parametrize("packed", [(".hdr",), (".img",), (".hdr", ".img")])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("given", [".hdr", ".img"])
def test_either_half_of_a_volume_in_two_files_may_be_compressed(
    tmp_path: Path, packed: tuple[str, ...], ending: str, given: str
) -> None:
    written(tmp_path, "a.hdr")
    for half in packed:
        path = tmp_path / f"a{half}"
        content = gzip.compress(path.read_bytes())
        path.unlink()
        path.with_name(f"a{half}{ending}").write_bytes(content)
    assert_is_example(tmp_path / f"a{given}{ending if given in packed else ''}")


def test_a_misnamed_header_keeps_its_voxels_beside_it(tmp_path: Path) -> None:
    for name in ("a.mhd", "b.nhdr"):
        assert_is_example(written(tmp_path, name).rename(tmp_path / f"{name}.txt"))


def test_a_file_of_the_right_name_is_not_copied(tmp_path: Path) -> None:
    for name in ("a.nrrd", "a.mha", "a.mhd", "a.tif"):
        path = written(tmp_path, name)
        with under_right_name(path) as named:
            assert named == path


def test_a_header_without_its_voxels_names_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(FusionError, match=r"a\.hdr are missing: put a\.img beside it"):
        load_volume(path)


def test_an_archive_is_named_as_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scan.nii.gz", "w") as archive:
        archive.write(written(tmp_path, "a.nii"))
    with pytest.raises(FusionError, match="is a ZIP archive; unpack it"):
        load_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.nii"])
def test_one_frame_of_four_dimensions_is_a_volume_in_every_format(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.JoinSeries([example()]), str(tmp_path / name))
    one = load_volume(tmp_path / name).image
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(example()))
    assert one.GetOrigin() == pytest.approx(example().GetOrigin(), abs=1e-4)
    assert one.GetDirection() == pytest.approx(example().GetDirection(), abs=1e-4)
    sitk.WriteImage(sitk.JoinSeries([example(), example()]), str(tmp_path / name))
    with pytest.raises(FusionError, match="has 4 dimensions, not 3"):
        load_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["scan.h5", "scan.hdf5", "scan.mnc"])
def test_other_formats_that_state_an_orientation_are_believed(tmp_path: Path, name: str) -> None:
    assert load_volume(written(tmp_path, name)).placed
