"""Read from a file that is no DICOM what it says about its modality and unit: in its sidecar, BIDS name or name."""

import json
import re
from pathlib import Path
from typing import Any

from BSAFusionLib.modalities import MODALITIES, MRI, from_dicom

BIDS_NAME = re.compile(r"^sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9+]+)*_(?P<suffix>[A-Za-z0-9]+)\.nii(?:\.gz)?$")
MRI_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2star", "T1rho", "inplaneT1", "inplaneT2", "UNIT1", "bold", "dwi")
ARBITRARY = "arbitrary"  # of BIDS
MRI_WORDS = {"mri", "mr", "t1", "t2", "t1w", "t2w", "flair", "mprage", "t1c", "t1ce", "pdw"}


def stated_modality(path: Path) -> str | None:
    """Return the modality that a volume's sidecar or BIDS name states; None where neither does.

    Args:
        path: A file that is no DICOM.

    Returns:
        "mri", or a name in `MODALITIES`.
    """
    stated = from_dicom(str(_sidecar(path).get("Modality")))
    if stated is not None:
        return stated
    named = BIDS_NAME.match(path.name)
    if named is None:
        return None
    suffix = named["suffix"]
    return MRI if suffix in MRI_SUFFIXES else suffix if suffix in MODALITIES else None


def stated_unit(path: Path) -> str:
    """Return the unit that a volume's sidecar states, as BIDS and dcm2niix write it; "" where it states none.

    Args:
        path: A file that is no DICOM.
    """
    unit = _sidecar(path).get("Units")
    return unit.strip() if isinstance(unit, str) and unit.strip() != ARBITRARY else ""


def sounds_like_mri(path: Path) -> bool:
    """Return whether a file's name speaks of an MRI and of nothing else."""
    words = _words(path)
    return bool(words & MRI_WORDS) and not words & set(MODALITIES)


def named_modality(path: Path) -> str | None:
    """Return the one modality in `MODALITIES` that a file's name speaks of; None without one, or with several."""
    named = _words(path) & set(MODALITIES)
    return named.pop() if len(named) == 1 else None


def _sidecar(path: Path) -> dict[str, Any]:
    """Return the content of the JSON file beside a volume; empty without one, or where it cannot be read."""
    sidecar = path.with_name(f"{volume_stem(path)}.json")
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else None
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}


def _words(path: Path) -> set[str]:
    return set(re.split("[^a-z0-9]+", volume_stem(path).lower()))


def volume_stem(path: Path) -> str:
    """Return a file's name without its ending, also where it is packed."""
    return Path(path.name.removesuffix(".gz")).stem
