"""Read from a file that is no DICOM what it says about its modality and unit: in its sidecars, BIDS name or name."""

import re
from pathlib import Path

from BSAFusionLib.files.sidecars import BIDS_NAME, described, volume_stem
from BSAFusionLib.modalities import MODALITIES, MRI, from_dicom

MRI_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2star", "T1rho", "inplaneT1", "inplaneT2", "UNIT1", "bold", "dwi")
ARBITRARY = "arbitrary"  # of BIDS
MRI_WORDS = {"mri", "mr", "t1", "t2", "t1w", "t2w", "flair", "mprage", "t1c", "t1ce", "pdw"}


def stated_modality(path: Path) -> str | None:
    """Return the modality that a volume's sidecars or BIDS name state; None where neither does.

    Args:
        path: A file that is no DICOM.

    Returns:
        "mri", or a name in `MODALITIES`.
    """
    stated = from_dicom(str(described(path).get("Modality")))
    if stated is not None:
        return stated
    named = BIDS_NAME.match(path.name)
    if named is None:
        return None
    suffix = named["suffix"]
    return MRI if suffix in MRI_SUFFIXES else suffix if suffix in MODALITIES else None


def stated_unit(path: Path) -> str:
    """Return the unit that a volume's sidecars state, as BIDS and dcm2niix write it; "" where they state none.

    Args:
        path: A file that is no DICOM.
    """
    unit = described(path).get("Units")
    return unit.strip() if isinstance(unit, str) and unit.strip() != ARBITRARY else ""


def sounds_like_mri(path: Path) -> bool:
    """Return whether a file's name speaks of an MRI and of nothing else."""
    words = _words(path)
    return bool(words & MRI_WORDS) and not words & set(MODALITIES)


def named_modality(path: Path) -> str | None:
    """Return the one modality in `MODALITIES` that a file's name speaks of; None without one, or with several."""
    named = _words(path) & set(MODALITIES)
    return named.pop() if len(named) == 1 else None


def _words(path: Path) -> set[str]:
    return set(re.split("[^a-z0-9]+", volume_stem(path).lower()))
