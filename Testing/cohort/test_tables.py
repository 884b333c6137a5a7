"""Tables are read as spreadsheet programs of any language save them."""

import errno
from pathlib import Path

import pytest

from BSAFusionLib.cohort.reading import read_cohort
from BSAFusionLib.errors import FusionError

rows = [["case", "fixed", "moving", "modality"], ["1", "é/mri.nii", "pet, late.nii", "pet"], ["2", "b", "c", "ct"]]


def text(delimiter: str, end: str = "\n") -> str:
    quoted = [[f'"{value}"' if delimiter in value else value for value in row] for row in rows]
    return "".join(delimiter.join(row) + end for row in quoted)


def assert_both_cases(path: Path) -> None:
    first, second = read_cohort(path).cases
    assert (first.name, second.name) == ("sub-1_pet", "sub-2_ct")
    assert first.pair.fixed == path.parent / "é/mri.nii"
    assert first.pair.moving == path.parent / "pet, late.nii"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_bytes(text(delimiter, end).encode(encoding))
    assert_both_cases(path)


@pytest.mark.parametrize(
    "changed",
    [
        text(",").replace("case,fixed,moving,modality", "Case, FIXED ,Moving,Modality"),
        text(",").replace(",pet\n", ", PET \n"),
        "sep=;\n" + text(";"),
        text(",") + ",,,\n\n",
        text(";").replace("modality", "modality;"),
        text(",").replace("modality", "modality,,"),
    ],
)
def test_capitals_spaces_empty_rows_and_excels_first_line(tmp_path: Path, changed: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(changed, encoding="utf-8")
    assert_both_cases(path)


@pytest.mark.parametrize("name", ["Fixed Mask", "fixed-mask", "fixed_mask"])
def test_words_of_a_columns_name_may_be_apart(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(f"case,fixed,moving,modality,{name}\n1,a,b,ct,mask.nii\n", encoding="utf-8")
    assert read_cohort(path).cases[0].pair.fixed_mask == tmp_path / "mask.nii"


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("frames", "3-8,12", "Row 2 of .* has more values than the table has columns; put"),
        ("fixed", "other.nii", "has two columns fixed; remove or rename one"),
        ("note", '"left side', "cannot be read as CSV .*; check its quotes"),
    ],
)
def test_a_table_that_would_lose_values_without_a_word_is_refused(
    tmp_path: Path, columns: str, row: str, message: str
) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(f"case,fixed,moving,modality,{columns}\n1,a,b,pet,{row}\n2,a,c,pet,\n", encoding="utf-8")
    with pytest.raises(FusionError, match=message):
        read_cohort(path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"\x81\x8d\x90\xff", text(",").replace("mri", "\0").encode()]
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(FusionError, match=r"cohort\.csv (cannot be read|has no|lacks|is empty)"):
        read_cohort(tmp_path / "cohort.csv")


def test_a_table_that_may_not_be_opened_is_named_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cohort.csv").touch()

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(FusionError, match=r"cohort\.csv cannot be read \(Permission denied\); see that you"):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize(
    ("columns", "remark"),
    [
        ("fixed_mask,frames", ""),
        ("frame,", "are not used: 'frame'. Did you mean 'frames' by 'frame'?"),
        ("mask,", "are not used: 'mask'. Did you mean 'fixed_mask' by 'mask'?"),
        ("Moving Serie,", "are not used: 'moving_serie'. Did you mean 'moving_series' by 'moving_serie'?"),
        ("note,contrast", "are not used: 'note', 'contrast'."),
        ("name,site", "are not used: 'name', 'site'."),
        ("note,note", "are not used: 'note'."),
    ],
)
def test_columns_that_are_not_used_are_named(tmp_path: Path, columns: str, remark: str) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(f"case,fixed,moving,modality,{columns}\n1,a,b,pet,,\n", encoding="utf-8")
    assert read_cohort(path).remark == (f"Unknown columns of cohort.csv {remark}" if remark else "")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "cohort.csv").write_text(
        "case,fixed,moving,modality,fixed_mask\n1,~/mri.nii,~pet.nii,pet,~/mask.nii\n", encoding="utf-8"
    )
    (tmp_path / "~pet.nii").touch()
    pair = read_cohort(tmp_path / "cohort.csv").cases[0].pair
    assert pair.fixed == tmp_path / "home" / "mri.nii"
    assert pair.fixed_mask == tmp_path / "home" / "mask.nii"
    assert pair.moving == tmp_path / "~pet.nii"
