"""The wild cases are what they claim to be, and their table counts what is wrong."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.files import inputs
from BSAFusionResearch.wild.cases import CommandLine, Pair
from BSAFusionResearch.wild.measure import to_placed
from BSAFusionResearch.wild.sources import Sources
from BSAFusionResearch.wild.table import is_falsely_doubtful, is_right, is_silently_wrong, summary, wild_cases


@pytest.fixture(scope="module")
def sources(shared: Path) -> Sources:
    return Sources(shared / "wild")


def test_every_kind_has_at_least_five_inputs_of_its_own_beside_the_given_ones() -> None:
    cases = wild_cases()
    assert len({case.title for case in cases}) == len(cases)
    own = Counter(case.kind for case in cases if not case.name.startswith("given"))
    assert {f"{number:02d}" for number in range(1, 16)} == set(own)
    assert min(own.values()) >= 5


@pytest.mark.parametrize(
    "title",
    [
        "01-template-pet-nifti-sagittal",
        "01-template-ct-nifti-feet-first",
        "01-template-ct-nrrd-upside-down",
        "02-template-pet-oblique",
        "02-template-ct-z90",
    ],
)
def test_the_truth_of_a_case_lays_its_file_onto_the_template(title: str, sources: Sources, tmp_path: Path) -> None:
    case = next(case for case in wild_cases() if case.title == title)
    pair = case.make(sources, tmp_path)
    assert isinstance(pair, Pair)
    assert pair.truth is not None
    read = inputs.read_pair(inputs.Pair(pair.fixed, pair.moving, pair.modality))[1].image
    to_file = sitk.CompositeTransform([to_placed(pair.truth, read).GetInverse(), pair.truth.motion])
    template = sources.template(pair.modality)
    lies = sitk.Resample(sitk.Cast(read, sitk.sitkFloat32), template, to_file, sitk.sitkLinear, 0.0)
    inside = sitk.GetArrayFromImage(pair.truth.head) > 0
    values = [sitk.GetArrayFromImage(image)[inside] for image in (template, lies)]
    assert np.corrcoef(*values)[0, 1] > 0.99


def test_an_input_that_a_result_would_replace_is_kept_and_named(sources: Sources, tmp_path: Path) -> None:
    case = next(case for case in wild_cases() if case.title == "15-hard-link")
    command = case.make(sources, tmp_path)
    assert isinstance(command, CommandLine)
    _, moving, target = command.kept
    assert moving.samefile(target)
    assert command.expected_status == 2


def row(**changes: Any) -> dict[str, Any]:
    right = {
        "title": "06-a",
        "kind": "06",
        "expected": "found",
        "words": [],
        "outcome": "registered",
        "sentences": ["The file has two orientations."],
        "error_mm": 2.0,
        "motion_error_mm": 0.5,
        "doubtful": False,
    }
    return {**right, **changes}


def test_a_wrong_result_without_a_word_is_silent_and_one_called_doubtful_is_not() -> None:
    wrong = {"error_mm": 80.0, "motion_error_mm": 80.0}
    assert not is_silently_wrong(row())
    assert is_silently_wrong(row(**wrong))
    assert not is_silently_wrong(row(**wrong, doubtful=True))
    assert is_silently_wrong(row(expected="unrelated", error_mm=None, motion_error_mm=None))
    assert not is_silently_wrong(row(expected="unrelated", outcome="rejected", error_mm=None))


def test_only_a_right_result_can_be_falsely_doubtful() -> None:
    assert is_falsely_doubtful(row(doubtful=True))
    assert not is_falsely_doubtful(row(doubtful=True, motion_error_mm=20.0))


def test_words_that_are_missing_make_a_row_not_right() -> None:
    assert is_right(row(words=["orientation"]))
    assert not is_right(row(words=["sheared"]))


def test_the_summary_counts_what_was_found() -> None:
    rows = [row(), row(title="06-b", error_mm=50.0, motion_error_mm=50.0)]
    figures = summary(rows)
    assert figures["found"] == 0.5
    assert figures["silent"] == ["06-b"]
