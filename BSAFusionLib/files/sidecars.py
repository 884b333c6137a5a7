"""The JSON files that describe a volume: the one beside it, and in a BIDS dataset those that it inherits from."""

import json
import os
import re
from pathlib import Path
from typing import Any

from BSAFusionLib.files.texts import decoded

BIDS_NAME = re.compile(
    r"^(?P<entities>sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)\.nii(?:\.gz)?$"
)
PACKED = re.compile(r"\.(gz|bz2)$", re.IGNORECASE)
DESCRIPTION = "dataset_description.json"  # in the root of a dataset


def described(path: Path) -> dict[str, Any]:
    """Return what the JSON files of a volume say together; empty without one, or where none can be read.

    Args:
        path: A file that is no DICOM.

    Returns:
        The values by their keys; of a key that several files have, that of the file that comes last in `sidecars_of`.
    """
    content: dict[str, Any] = {}
    for file in sidecars_of(path):
        content |= _content(file) or {}
    return content


def unread_sidecars(path: Path) -> tuple[str, ...]:
    """Return a remark for each JSON file of a volume that cannot be read.

    Args:
        path: A file that is no DICOM.
    """
    return tuple(
        f"{file.name} was not read, since it is damaged or may not be opened: what it says of modality, unit and frame "
        f"times of {path.name} was not used; save it as JSON in UTF-8."
        for file in sidecars_of(path)
        if _content(file) is None
    )


def sidecars_of(path: Path) -> list[Path]:
    """Return the JSON files that describe a volume, the most specific one last.

    Args:
        path: A file that is no DICOM, which need not exist.

    Returns:
        The file of the same name beside it. Where the volume lies in a BIDS dataset and is named as there, also those
        with its suffix and no entity that it lacks, in its folder and the folders above, up to the root.

    Source: the inheritance principle of BIDS.
    """
    beside = [path.with_name(f"{volume_stem(path)}{ending}") for ending in (".json", ".JSON")]
    own = [file for file in beside if os.path.isfile(file)][:1]
    inherited = [file for file in _inherited(path) if str(file) not in map(os.path.abspath, own)]
    return [*inherited, *own]


def volume_stem(path: Path) -> str:
    """Return a file's name without its ending, also where it is packed, in small letters or capitals."""
    return Path(PACKED.sub("", path.name)).stem


def _inherited(path: Path) -> list[Path]:
    """Return the JSON files of a dataset that apply to a volume, those of the root and with few entities first."""
    named = BIDS_NAME.match(path.name)
    if named is None:
        return []
    entities = set(named["entities"].split("_"))
    applicable = []
    for depth, folder in enumerate(_dataset_folders(path)):
        for name in _names_in(folder):
            *own, suffix = name.removesuffix(".json").split("_")
            if name.endswith(".json") and suffix == named["suffix"] and entities.issuperset(own):
                applicable.append((depth, len(own), folder / name))
    return [file for *_, file in sorted(applicable)]


def _dataset_folders(path: Path) -> list[Path]:
    """Return the folders from a dataset's root to that of a file in it; empty for a file in no dataset."""
    folders: list[Path] = []
    for folder in Path(os.path.abspath(path)).parents:
        folders.insert(0, folder)
        if os.path.isfile(folder / DESCRIPTION):
            return folders
    return []


def _names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none where it cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _content(file: Path) -> dict[str, Any] | None:
    """Return the values in a JSON file, none where it holds no object; None where it cannot be read."""
    try:
        content = json.loads(decoded(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else {}
