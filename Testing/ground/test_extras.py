"""A command whose packages are missing says so before it computes anything."""

import importlib.util

import pytest

from BSAFusionLib.__main__ import main
from BSAFusionLib.commands._extras import require_extra
from BSAFusionLib.errors import FusionError


def test_packages_that_are_there_are_not_named():
    require_extra("scene", ("json", "email"))


def test_a_missing_package_is_named_with_what_installs_it():
    with pytest.raises(FusionError, match=r"needs nothing_like_it; .*pip install 'bsafusion\[view\]'"):
        require_extra("view", ("json", "nothing_like_it"))


@pytest.mark.parametrize("command", [["demo", "--out"], ["view"]])
def test_demo_and_viewer_ask_before_they_compute(command, monkeypatch, capsys, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "slicer" else find(name, *rest)
    )
    assert main([*command, str(tmp_path / "results")]) == 2
    assert "needs slicer" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
