"""Damaged files lead to an answer or to one sentence, never to a crash, to other errors, or to code being run."""

import sys

import pytest

from Testing.fuzz.fuzz import kinds, run


@pytest.mark.skipif(sys.platform == "win32", reason="the reader's limits are those of POSIX")
def test_a_few_damaged_files_of_every_kind_are_read_or_rejected(tmp_path):
    outcomes, failures = run(tmp_path, count=5 * len(kinds), seed=1, seconds=120, keep=tmp_path / "failed")
    assert failures == []
    assert {kind for kind, _ in outcomes} == set(kinds)
    assert {outcome for _, outcome in outcomes} == {"read", "refused"}
