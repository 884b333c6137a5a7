"""The recipe of the container copies what the package is made of, and starts a command that there is."""

import json
import re
import sys
from pathlib import Path

import pytest

repository = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML since 3.11")
def test_the_container_is_made_of_what_is_there() -> None:
    import tomllib

    recipe = (repository / "Containerfile").read_text(encoding="utf-8")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {name for line in re.findall(r"^COPY (.+)$", recipe, re.MULTILINE) for name in line.split()[:-1]}
    assert [name for name in copied if not (repository / name).exists()] == []
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"} <= copied
    (constraints,) = re.findall(r"--constraint (\S+)", recipe)
    assert constraints in copied
    (extras,) = re.findall(r'"\.\[(.+)\]"', recipe)
    assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", recipe, re.MULTILINE)
    assert json.loads(entry)[0] in project["project"]["scripts"]
    ignored = (repository / ".containerignore").read_text(encoding="utf-8").split()
    assert not copied & set(ignored)
