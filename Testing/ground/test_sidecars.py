"""A volume in a BIDS dataset has the keys of all JSON files that it inherits from, the nearest one first."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import read_moving
from BSAFusionLib.files.overwriting import files_of, refuse_overwriting
from BSAFusionLib.files.sidecars import described, sidecars_of
from BSAFusionLib.files.volumes import read_volume
from Testing.ground.nifti_files import example

stem = "sub-01_ses-a_trc-PIB_rec-acdyn_pet"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The path of a PET in a dataset without any JSON file; around the dataset, files that do not belong to it."""
    folder = tmp_path / "dataset" / "sub-01" / "ses-a" / "pet"
    folder.mkdir(parents=True)
    write(tmp_path / "dataset" / "dataset_description.json")
    write(tmp_path / "pet.json", Above=True)
    return folder / f"{stem}.nii.gz"


def write(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_of_a_key_in_several_files_the_nearest_one_counts(volume: Path) -> None:
    root = volume.parents[3]
    files = [
        write(root / "pet.json", A=1, B=1, C=1, D=1, E=1),
        write(root / "rec-acdyn_pet.json", B=2),
        write(root / "sub-01" / "sub-01_pet.json", C=3, D=3),
        write(volume.parent / "sub-01_ses-a_pet.json", D=4, E=4),
        write(volume.parent / f"{stem}.json", E=5),
    ]
    assert sidecars_of(volume) == files
    assert described(volume) == {"A": 1, "B": 2, "C": 3, "D": 4, "E": 5}


def test_a_path_from_the_folder_of_the_volume_has_the_same_files(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(volume.parents[3] / "pet.json", A=1, B=1)
    write(volume.parent / f"{stem}.json", B=2)
    monkeypatch.chdir(volume.parent)
    assert [file.name for file in sidecars_of(Path(volume.name))] == ["pet.json", f"{stem}.json"]
    assert described(Path(volume.name)) == {"A": 1, "B": 2}


@pytest.mark.parametrize(
    "name", ["ct.json", "ses-b_pet.json", "sub-01/sub-01_trc-FDG_pet.json", "sub-01/sub-01_run-1_pet.json", "xpet.json"]
)
def test_a_file_of_another_suffix_or_entity_does_not_apply(volume: Path, name: str) -> None:
    write(volume.parents[3] / name, Units="mL/cm3")
    assert described(volume) == {}


def test_without_a_dataset_and_without_a_bids_name_only_the_file_beside_counts(volume: Path) -> None:
    root = volume.parents[3]
    write(root / "pet.json", A=1)
    write(volume.parent / "mean_pet.json", B=1)
    assert described(volume.parent / "mean_pet.nii.gz") == {"B": 1}
    (root / "dataset_description.json").unlink()
    write(volume.parent / f"{stem}.json", C=1)
    assert described(volume) == {"C": 1}


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_a_file_that_is_no_json_object_does_not_count(volume: Path, content: str) -> None:
    (volume.parents[3] / "pet.json").write_bytes(content.encode("latin-1"))
    write(volume.parent / f"{stem}.json", C=1)
    assert described(volume) == {"C": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_file_in_any_encoding_states_modality_and_unit(tmp_path: Path, encoding: str) -> None:
    sitk.WriteImage(sitk.Abs(example()), str(tmp_path / "scan.nii.gz"))
    content = {"Modality": "NM", "Units": "CNTS", "InstitutionName": "Universität"}
    (tmp_path / "scan.json").write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    scan = read_moving(tmp_path / "scan.nii.gz", "auto", None, None)
    assert (scan.modality, scan.unit, scan.remarks) == ("spect", "CNTS", ())


@pytest.mark.parametrize("name", ["SCAN.JSON", "SCAN.json"])
def test_a_file_in_capitals_describes_a_volume_in_capitals(tmp_path: Path, name: str) -> None:
    volume = tmp_path / "SCAN.NII.GZ"
    write(tmp_path / name, Modality="NM")
    assert described(volume) == {"Modality": "NM"}
    assert tmp_path / name in files_of(volume)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("content", [b'{"Modality": "NM"', b"\x81", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_a_remark(tmp_path: Path, content: bytes, frames: int) -> None:
    image = example() if frames == 1 else sitk.JoinSeries([example()] * frames)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    (tmp_path / "scan.json").write_bytes(content)
    (remark,) = read_moving(tmp_path / "scan.nii.gz", "auto", None, None).remarks
    assert remark == (
        "scan.json was not read, since it is damaged or may not be opened: what it says of modality, unit and frame "
        "times of scan.nii.gz was not used; save it as JSON in UTF-8."
    )


def test_an_inherited_file_is_an_input(volume: Path) -> None:
    inherited = write(volume.parents[3] / "pet.json", A=1)
    assert list(files_of(volume)) == [volume, inherited]
    with pytest.raises(FusionError, match=r"pet\.json is an input of this run and would be overwritten"):
        refuse_overwriting([volume], [inherited])


def test_reading_a_volume_by_another_name_changes_no_inherited_file(tmp_path: Path) -> None:
    """ITK needs a link where a path is no UTF-8; two inherited files may have one name."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    (root / "sub-01").mkdir(parents=True)
    write(root / "dataset_description.json")
    texts = {write(folder / "pet.json", Folder=folder.name[-2:] == "01") for folder in (root, root / "sub-01")}
    before = {path: path.read_text() for path in texts}
    sitk.WriteImage(example(), str(tmp_path / "pet.nii.gz"))
    volume = (tmp_path / "pet.nii.gz").rename(root / "sub-01" / "sub-01_pet.nii.gz")
    assert read_volume(volume).GetSize() == example().GetSize()
    assert {path: path.read_text() for path in texts} == before
