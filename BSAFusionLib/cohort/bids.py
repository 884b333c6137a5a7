"""Pair the scans of a BIDS folder with an MRI, and say which subjects have no pair."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from BSAFusionLib.cohort.cases import Case, Cohort, LeftOut, shortened, source_uri
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.inputs import Pair
from BSAFusionLib.files.sidecars import DESCRIPTION
from BSAFusionLib.modalities import MODALITIES, listed

MRI_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2star")  # of BIDS, in order of preference


class _Scan(NamedTuple):
    """A volume of a dataset: its path below the dataset, its suffix and its entities."""

    path: str
    suffix: str
    entities: dict[str, str]


def bids_cohort(folder: Path) -> Cohort:
    """Pair every CT, PET and SPECT of a BIDS dataset with an MRI of its session, else of its subject.

    BIDS does not define CT and SPECT yet; files ending in _ct and _spect are used. Derivatives are ignored.

    Raises:
        FusionError: There is no pair, or ancpbids is not installed.
    """
    scans = _scans(folder)
    mris = [scan for scan in scans if scan.suffix in MRI_SUFFIXES]
    cases, left_out = [], []
    for scan in scans:
        if scan.suffix not in MODALITIES:
            continue
        own = [mri for mri in mris if mri.entities["sub"] == scan.entities["sub"]]
        if own:
            cases.append(_case(folder, min(own, key=lambda mri: _fitness(mri, scan)), scan))
        else:
            name = "_".join([*_entities(scan), scan.suffix])
            left_out.append(LeftOut(name, f"no MRI ({', '.join(MRI_SUFFIXES)}) of this subject"))
    left_out += _without_moving(folder, scans)
    if not cases:
        reasons = shortened([f"{item.name} ({item.reason})" for item in left_out])
        raise FusionError(
            f"The folder {folder} has no MRI with a {listed()} of the same subject, named as in BIDS "
            "(sub-01/anat/sub-01_T1w.nii.gz, sub-01/pet/sub-01_pet.nii.gz); give another, or a CSV table."
            + (f" Left out: {reasons}." if reasons else "")
        )
    return Cohort(tuple(cases), tuple(sorted(left_out, key=lambda item: item.name)), folder.resolve())


def _scans(folder: Path) -> list[_Scan]:
    """Return the MRIs and moving volumes of a dataset, sorted by path."""
    try:
        from ancpbids import DatasetOptions
        from ancpbids.pybids_compat import BIDSLayout
    except ImportError as error:
        raise FusionError(
            "Reading a BIDS folder needs the package ancpbids; install it with: pip install 'bsafusion[cluster]', or "
            "give a CSV table."
        ) from error
    _check_version(folder / DESCRIPTION)
    # A damaged description, also of a derivative, would end in an error of ancpbids; the pairs do not need it.
    options = DatasetOptions(ignore=[DESCRIPTION, "derivatives"], ignore_pickle_file=True)
    resolved = folder.resolve()  # ancpbids takes the folder that a link leads from for the one above `..`
    layout: Any = BIDSLayout(str(resolved), options)
    files = layout.get(suffix=[*MRI_SUFFIXES, *MODALITIES], extension=[".nii.gz", ".nii"])
    # The path of a file is not resolved: in a dataset under version control, it may be a link out of the dataset.
    paths = [Path(file.get_absolute_path()).relative_to(resolved) for file in files]
    scans = [
        _Scan(path.as_posix(), file.suffix, _written_entities(path.name))
        for path, file in zip(paths, files, strict=True)
    ]
    return sorted(scan for scan in scans if scan.path.startswith("sub-"))


def _check_version(description: Path) -> None:
    """Check that a dataset's BIDS version, if it can be read, is a text, as ancpbids takes it for one.

    Raises:
        FusionError: It is not.
    """
    try:
        bids_version = json.loads(description.read_text(encoding="utf-8"))["BIDSVersion"]
    except (OSError, ValueError, KeyError, TypeError):  # ancpbids does without it then
        return
    if not isinstance(bids_version, str):
        raise FusionError(f'BIDSVersion in {description} is no text; write it in quotes, such as "1.10.0".')


def _written_entities(name: str) -> dict[str, str]:
    """Return the entities in a file's name as they are written; ancpbids turns run-01 into the number 1."""
    pairs = (part.partition("-") for part in name.split("_")[:-1])
    return {key: label for key, dash, label in pairs if dash}


def _case(folder: Path, mri: _Scan, scan: _Scan) -> Case:
    own, other = scan.entities.get("ses"), mri.entities.get("ses")
    remark = ""
    if own != other:
        session = f"session {own}" if own else "no session"
        remark = f"The MRI is of another session: {mri.path} (there is none of {session})."
    pair, root = Pair(folder / mri.path, folder / scan.path, scan.suffix), folder.resolve()
    sources = (source_uri(root / mri.path, root), source_uri(root / scan.path, root))
    return Case(pair, _entities(scan), mri.suffix, sources, remark)


def _entities(scan: _Scan) -> tuple[str, ...]:
    return tuple(f"{key}-{value}" for key, value in scan.entities.items())


def _without_moving(folder: Path, scans: list[_Scan]) -> Iterator[LeftOut]:
    """Yield the subjects that have no CT, PET or SPECT."""
    for subject in sorted(path.name for path in folder.glob("sub-*") if path.is_dir()):
        suffixes = {scan.suffix for scan in scans if f"sub-{scan.entities['sub']}" == subject}
        if not suffixes:
            yield LeftOut(subject, f"neither an MRI nor a {listed()}")
        elif not suffixes & MODALITIES.keys():
            yield LeftOut(subject, f"an MRI, but no {listed()}")


def _fitness(mri: _Scan, moving: _Scan) -> tuple[bool, int, str]:
    """Return the sort key of an MRI: same session, contrast, name."""
    other_session = mri.entities.get("ses") != moving.entities.get("ses")
    return other_session, MRI_SUFFIXES.index(mri.suffix), mri.path
