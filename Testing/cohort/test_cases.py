"""A table or a BIDS folder says which cases there are, or is refused in a sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from BSAFusionLib.cohort.capacity import (
    CASE_GPU_MEMORY_BYTES,
    CASE_MEMORY_BYTES,
    fitting_workers,
    processes_without_dask,
)
from BSAFusionLib.cohort.cases import Case, Cohort, check_paths, source_uri
from BSAFusionLib.cohort.finished import fingerprint
from BSAFusionLib.cohort.reading import read_cohort
from BSAFusionLib.cohort.summary import Outcome, worst_first
from BSAFusionLib.commands.batch import _program
from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.memory_limits import FreeMemory
from Testing.dicom.conftest import write_series
from Testing.ground.nifti_files import example


def table(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def bids(folder: Path, *names: str) -> Path:
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "trial", "BIDSVersion": "1.10.0"}))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_case_of_a_table_is_shown_as_the_table_names_it(tmp_path: Path) -> None:
    (tmp_path / "Doe").mkdir()
    text = "case,fixed,moving,modality\nno. 1,scans/mri 1.nii,Doe,pet\n"
    (case,) = read_cohort(table(tmp_path, text)).cases
    assert case.title == "no. 1 (sub-no1_pet)"
    assert case.shown_sources == ("scans/mri 1.nii", "a DICOM series")


def test_a_row_of_a_table_is_a_case(tmp_path: Path) -> None:
    columns = "case,fixed,moving,modality,moving_series,fixed_mask,frames"
    text = f'{columns}\nno. 1,a/mri.nii,/b/pet,pet,1.2.3,brain.nrrd,"2-4,6"\n'
    (case,) = read_cohort(table(tmp_path, text)).cases
    assert (case.pair.fixed, case.pair.moving) == (tmp_path / "a/mri.nii", Path("/b/pet"))
    assert (case.pair.modality, case.pair.fixed_series, case.pair.moving_series) == ("pet", None, "1.2.3")
    assert (case.pair.fixed_mask, case.pair.frames) == (tmp_path / "brain.nrrd", "2-4,6")
    assert (case.name, str(case.folder)) == ("sub-no1_pet", "sub-no1/pet")
    assert case.names.registered == "sub-no1_space-MRI_desc-registered_pet.nii.gz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,fixed,moving,modality\n", "no cases"),
        ("case,fixed,moving\n1,a,b\n", "Row 2 .* lacks modality"),
        ("case,fixed,moving,modality\n1,a,,ct\n", "Row 2 .* lacks moving"),
        ("case,fixed,moving,modality\n1,a,b,ct\n\n,,,\n2,a,,ct\n", "Row 5 .* lacks moving"),
        ("case,fixed,moving,modality\n1,a,b,xray\n", "'xray'; choose one of ct, pet, spect"),
        ("case,fixed,moving,modality\n-,a,b,ct\n", "case name '-'; use letters or digits"),
        ("case,fixed,moving,modality\n1,a,b,ct\n-1-,c,d,ct\n", "two cases sub-1_ct in .*, '1' and '-1-'; rename"),
        ("case,fixed,moving,modality\nA1,a,b,ct\na1,c,d,ct\n", "two cases sub-a1_ct in .*, 'A1' and 'a1'; rename"),
    ],
)
def test_an_invalid_table_is_rejected(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FusionError, match=said):
        read_cohort(table(tmp_path, text))


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="There is no"):
        read_cohort(tmp_path / "missing.csv")


def test_in_a_bids_folder_volumes_are_paired_with_the_mri_of_their_session(tmp_path: Path) -> None:
    folder = bids(
        tmp_path,
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/ct/sub-01_ct.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
        "sub-02/ses-b/anat/sub-02_ses-b_FLAIR.nii.gz",
        "sub-02/ses-b/pet/sub-02_ses-b_trc-FDG_pet.nii.gz",
        "sub-02/ses-c/spect/sub-02_ses-c_spect.nii",
        "sub-03/pet/sub-03_pet.nii.gz",  # no MRI
        "derivatives/other/sub-01/pet/sub-01_space-T1w_pet.nii.gz",
    )
    cases = {case.name: case for case in read_cohort(folder).cases}
    fixed = {name: case.pair.fixed.relative_to(folder).as_posix() for name, case in cases.items()}
    assert fixed == {
        "sub-01_ct": "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-02_ses-b_trc-FDG_pet": "sub-02/ses-b/anat/sub-02_ses-b_FLAIR.nii.gz",
        "sub-02_ses-c_spect": "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
    }
    pet = cases["sub-02_ses-b_trc-FDG_pet"]
    assert str(pet.folder) == "sub-02/ses-b/pet"
    assert pet.names.fused == "sub-02_ses-b_trc-FDG_space-FLAIR_desc-fused_pet.nii.gz"
    assert pet.sources[1] == "bids:raw:sub-02/ses-b/pet/sub-02_ses-b_trc-FDG_pet.nii.gz"


def test_a_bids_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (folder := tmp_path / "data" / "bids").mkdir()
    bids(folder, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/pet/sub-01_pet.nii.gz")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "above").symlink_to(folder.parent)
    for path in (tmp_path / "link", tmp_path / "above" / "bids", tmp_path / "link" / ".." / "bids"):
        cohort = read_cohort(path)
        assert cohort.cases[0].pair.moving == path / "sub-01/pet/sub-01_pet.nii.gz"
        assert (cohort.cases[0].sources[1], cohort.root) == ("bids:raw:sub-01/pet/sub-01_pet.nii.gz", folder)


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b'{"Name": ',
        b"[]",
        b"null",
        '{"Name": "étude", "BIDSVersion": "1.10.0"}'.encode("latin-1"),
        '{"Name": "étude", "BIDSVersion": "1.10.0"}'.encode("utf-8-sig"),
    ],
)
def test_cases_of_a_bids_folder_do_not_need_its_description(tmp_path: Path, description: bytes) -> None:
    bids(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/pet/sub-01_pet.nii.gz", "derivatives/other/README")
    for folder in (tmp_path, tmp_path / "derivatives" / "other"):
        (folder / "dataset_description.json").write_bytes(description)
    assert [case.name for case in read_cohort(tmp_path).cases] == ["sub-01_pet"]


def test_a_bids_version_that_is_a_number_is_rejected(tmp_path: Path) -> None:
    bids(tmp_path)
    (tmp_path / "dataset_description.json").write_text('{"Name": "trial", "BIDSVersion": 1.8}')
    with pytest.raises(FusionError, match=r"BIDSVersion in .*dataset_description\.json is no text; write it in quotes"):
        read_cohort(tmp_path)


def test_the_entities_of_a_bids_name_stay_as_they_are_written(tmp_path: Path) -> None:
    runs = [f"sub-01/pet/sub-01_trc-FDG_run-{run}_pet" for run in ("01", "1", "002")]
    cases = read_cohort(bids(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", *(f"{run}.nii.gz" for run in runs))).cases
    assert {case.name for case in cases} == {Path(run).name for run in runs}
    assert {case.pair.moving.relative_to(tmp_path).as_posix() for case in cases} == {f"{run}.nii.gz" for run in runs}
    assert all(case.names.fused.startswith("_".join(case.entities)) for case in cases)


def test_one_scan_in_two_files_is_rejected_with_both_names(tmp_path: Path) -> None:
    scan = "sub-01/pet/sub-01_run-01_pet.nii"
    folder = bids(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", scan, f"{scan}.gz")
    with pytest.raises(FusionError, match=rf"two cases sub-01_run-01_pet in .*, {scan} and {scan}.gz; rename or"):
        read_cohort(folder)


@pytest.fixture
def incomplete(tmp_path: Path) -> Cohort:
    """A BIDS folder in which three of five subjects have no pair, and one has an MRI of another session."""
    folder = bids(
        tmp_path,
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/pet/sub-01_pet.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
        "sub-02/ses-b/pet/sub-02_ses-b_pet.nii.gz",
        "sub-03/pet/sub-03_pet.nii.gz",
        "sub-04/anat/sub-04_T1w.nii.gz",
        "sub-05/func/sub-05_task-rest_bold.nii.gz",
    )
    return read_cohort(folder)


def test_every_subject_without_a_pair_is_left_out_with_the_reason(incomplete: Cohort) -> None:
    assert {case.name: case.remark for case in incomplete.cases} == {
        "sub-01_pet": "",
        "sub-02_ses-b_pet": "The MRI is of another session: sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz "
        "(there is none of session b).",
    }
    assert [(item.name, item.reason) for item in incomplete.left_out] == [
        ("sub-03_pet", "no MRI (T1w, T2w, FLAIR, PDw, T2star) of this subject"),
        ("sub-04", "an MRI, but no CT, PET or SPECT"),
        ("sub-05", "neither an MRI nor a CT, PET or SPECT"),
    ]


def test_participants_and_sessions_are_chosen_by_their_labels(incomplete: Cohort) -> None:
    def names(participants: list[str], sessions: list[str]) -> list[str]:
        chosen = incomplete.choose(participants, sessions)
        return [item.name for item in (*chosen.cases, *chosen.left_out)]

    assert names(["01", "sub-03"], []) == ["sub-01_pet", "sub-03_pet"]
    assert names([], ["b"]) == names(["02"], ["ses-b"]) == ["sub-02_ses-b_pet"]
    assert names(["01"], ["b"]) == []
    assert len(names([], [])) == 5
    with pytest.raises(FusionError, match=r"no participant sub-7; choose from: sub-01, sub-02, sub-03"):
        names(["01", "7"], [])
    with pytest.raises(FusionError, match=r"no session ses-a; choose from: ses-b"):
        names([], ["a"])


def test_all_paths_are_checked_at_once_and_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "mri.nii").touch()
    text = "case,fixed,moving,modality\n1,mri.nii,no.nii,ct\n2,nor.nrrd,mri.nii,ct\n3,mri.nii,DOE^JANE,ct\n"
    cohort = read_cohort(table(tmp_path, text))
    with pytest.raises(
        FusionError, match=r"3 of the cohort's volumes .*sub-1_ct, moving .*no\.nii; .*sub-3_ct"
    ) as said:
        check_paths(cohort.cases)
    assert "DOE" not in str(said.value)
    check_paths(cohort.cases[:0])


def test_sources_of_a_table_are_bids_uris_below_one_root(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = f"1,../scans/mri 1.nii,{tmp_path}/scans/pét.nii,pet\n"
    cohort = read_cohort(table(folder, f"case,fixed,moving,modality\n{rows}"))
    assert cohort.root == tmp_path
    assert cohort.cases[0].sources == ("bids:raw:scans/mri%201.nii", "bids:raw:scans/p%C3%A9t.nii")
    assert source_uri(Path("/elsewhere/a.nii"), tmp_path) == "file:///elsewhere/a.nii"


def test_a_bids_folder_without_a_pair_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"no MRI with a CT, PET or SPECT.*Left out: sub-01 \(an MRI, but no"):
        read_cohort(bids(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz"))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    for name in ("mri.nii", "ct.nii"):
        (tmp_path / name).write_text("voxels")
    return read_cohort(table(tmp_path, "case,fixed,moving,modality\n1,mri.nii,ct.nii,ct\n")).cases[0]


def test_the_fingerprint_changes_with_inputs_choices_and_program(case: Case, tmp_path: Path) -> None:
    first = fingerprint(case, {"strength": 1.0}, "program 1", tmp_path / "results")
    assert fingerprint(case, {"strength": 1.0}, "program 1", tmp_path / "results") == first
    assert fingerprint(case, {"strength": 0.5}, "program 1", tmp_path / "results") != first
    assert fingerprint(case, {"strength": 1.0}, "program 2", tmp_path / "results") != first
    other_frames = replace(case, pair=replace(case.pair, frames="2"))
    assert fingerprint(other_frames, {"strength": 1.0}, "program 1", tmp_path / "results") != first
    case.pair.moving.write_text("other voxels")
    assert fingerprint(case, {"strength": 1.0}, "program 1", tmp_path / "results") != first


def test_results_of_another_calibration_are_of_another_program(tmp_path: Path) -> None:
    (weights := tmp_path / "pet.safetensors").write_text("weights")
    programs = {_program("pet", str(weights))}
    for content in ('{"calibration": 1}', '{"calibration": 2}'):
        (tmp_path / "pet.json").write_text(content)
        programs.add(_program("pet", str(weights)))
    assert len(programs) == 3


def test_the_fingerprint_changes_with_voxels_in_a_file_beside_their_header(tmp_path: Path) -> None:
    (case,) = read_cohort(table(tmp_path, "case,fixed,moving,modality\n1,mri.nii,pet.mhd,pet\n")).cases
    (tmp_path / "pet.mhd").write_text("NDims = 3\nElementDataFile = voxels of pet.raw\n")
    (tmp_path / "voxels of pet.raw").write_text("first")
    first = fingerprint(case, {}, "", tmp_path / "results")
    (tmp_path / "voxels of pet.raw").write_text("other voxels")
    assert fingerprint(case, {}, "", tmp_path / "results") != first


def test_the_fingerprint_changes_with_a_json_file_that_a_volume_inherits(tmp_path: Path) -> None:
    (case,) = read_cohort(bids(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/pet/sub-01_pet.nii.gz")).cases
    marks = {fingerprint(case, {}, "", tmp_path / "results")}
    for name, text in (("pet.json", '{"FrameDuration": [60]}'), ("sub-01/sub-01_pet.json", "{}"), ("pet.json", "{}")):
        (tmp_path / name).write_text(text)
        marks.add(fingerprint(case, {}, "", tmp_path / "results"))
    assert len(marks) == 4


def test_the_fingerprint_changes_with_other_images_of_a_series_that_one_stands_for(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", example(), "CT")
    first, *others = sorted((tmp_path / "ct").iterdir())
    (case,) = read_cohort(table(tmp_path, f"case,fixed,moving,modality\n1,mri.nii,ct/{first.name},ct\n")).cases
    before = fingerprint(case, {}, "", tmp_path / "results")
    assert fingerprint(case, {}, "", tmp_path / "results") == before
    others[0].unlink()
    assert fingerprint(case, {}, "", tmp_path / "results") != before


def test_the_worst_come_first_each_among_its_own_modality(tmp_path: Path) -> None:
    values = {"a": ("ct", 0.6), "b": ("ct", 0.5), "c": ("pet", 1.4), "d": ("pet", 1.0), "e": ("pet", None)}
    rows = "".join(f"{name},mri,moving,{modality}\n" for name, (modality, _) in values.items())
    cases = read_cohort(table(tmp_path, f"case,fixed,moving,modality\n{rows}")).cases
    reports = [value and {"mutual_information_after": value} for _, value in values.values()]
    outcomes = [Outcome(case, report) for case, report in zip(cases, reports, strict=True)]
    assert [outcome.case.entities[0][-1] for outcome in worst_first(outcomes)] == ["e", "d", "b", "a", "c"]


def test_as_many_processes_as_cores_and_memory_have_room_for() -> None:
    assert fitting_workers(100, 8, 100 * CASE_MEMORY_BYTES) == 8
    assert fitting_workers(3, 8, 100 * CASE_MEMORY_BYTES) == 3
    assert fitting_workers(100, 8, int(2.5 * CASE_MEMORY_BYTES)) == 2
    assert fitting_workers(100, 8, CASE_MEMORY_BYTES // 2) == 1
    assert fitting_workers(100, 8, 100 * CASE_MEMORY_BYTES, [2 * CASE_GPU_MEMORY_BYTES] * 2) == 4


@pytest.mark.parametrize(
    ("free", "threads", "gpu_memories", "expected"),
    [
        (FreeMemory(100.0 * CASE_MEMORY_BYTES), 1, [], 6),
        (FreeMemory(100.0 * CASE_MEMORY_BYTES), 4, [], 1),
        (FreeMemory(2.5 * CASE_MEMORY_BYTES), 1, [], 2),
        (FreeMemory(-1.0, "the limit of 1.0 GB for this container or job"), 1, [], 1),
        (FreeMemory(100.0 * CASE_MEMORY_BYTES), 1, [2 * CASE_GPU_MEMORY_BYTES] * 2, 2),  # all of them take the first
        (None, 1, [], 3),
    ],
)
def test_without_dask_processes_are_as_many_as_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, free: FreeMemory | None, threads: int, gpu_memories: list[int], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("BSAFusionLib.cohort.capacity.free_memory", lambda: free)
    assert processes_without_dask(100, threads, gpu_memories) == expected


def test_the_folder_of_a_dicom_series_is_named_nowhere(tmp_path: Path) -> None:
    (tmp_path / "DOE^JANE").mkdir()
    (case,) = read_cohort(table(tmp_path, "case,fixed,moving,modality\n1,mri.nii,DOE^JANE,ct\n")).cases
    assert case.sources == ("bids:raw:mri.nii", "")
