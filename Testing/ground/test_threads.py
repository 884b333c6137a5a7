"""Threads wait patiently unless the environment says otherwise."""

import os

import pytest

from BSAFusionLib.worker.threads import wait_patiently


def test_what_the_environment_says_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "environ", {"OPENBLAS_NUM_THREADS": "3"})
    wait_patiently()
    assert os.environ == {"OPENBLAS_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE"}
