"""Read a cohort from a table or a BIDS folder."""

import difflib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from BSAFusionLib.cohort.bids import bids_cohort
from BSAFusionLib.cohort.cases import Case, Cohort, TableRow, source_uri
from BSAFusionLib.cohort.tables import read_table
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from BSAFusionLib.files.inputs import Pair
from BSAFusionLib.modalities import MODALITIES

REQUIRED_COLUMNS = ("case", "fixed", "moving", "modality")
SERIES_COLUMNS = ("fixed_series", "moving_series")
MASK_COLUMN = "fixed_mask"
FRAMES_COLUMN = "frames"
CLOSE = 0.65  # ratio of difflib from which two names are alike
COLUMNS = (*REQUIRED_COLUMNS, *SERIES_COLUMNS, MASK_COLUMN, FRAMES_COLUMN)


def read_cohort(path: Path) -> Cohort:
    """Read the cases of a cohort.

    Args:
        path: A CSV table or a BIDS folder.

    Raises:
        FusionError: There is no case, two names differ at most in capitals, or a row of the table is invalid.
    """
    if path.is_dir():
        cohort = bids_cohort(path)
    elif path.is_file():
        cohort = _table_cohort(path)
    else:
        raise FusionError(f"There is no {path}; give a CSV table or a BIDS folder.")
    cases: dict[str, Case] = {}
    for case in cohort.cases:
        earlier = cases.setdefault(case.name.casefold(), case)  # one folder on systems that ignore case
        if earlier is not case:
            first, second = (_named(same, path) for same in (earlier, case))
            raise FusionError(f"There are two cases {case.name} in {path}, {first} and {second}; rename or remove one.")
    return cohort


def _named(case: Case, path: Path) -> str:
    """Return a case's name in a table, or the path of its moving volume in a BIDS folder."""
    return f"{case.row.case!r}" if case.row else case.pair.moving.relative_to(path).as_posix()


def _table_cohort(path: Path) -> Cohort:
    """Read a CSV file with the columns case, fixed, moving, modality; optional are those of series, mask and frames.

    Paths are relative to the table's folder. The letters and digits of a case's name make its BIDS label.
    """
    columns, rows = read_table(path, COLUMNS)
    if not rows:
        raise FusionError(f"The table {path} has no cases; add one per row, below {','.join(REQUIRED_COLUMNS)}.")
    cases = []
    for number, row in rows.items():
        values = {name: row.get(name, "") for name in (*REQUIRED_COLUMNS, *SERIES_COLUMNS)}
        missing = [name for name in REQUIRED_COLUMNS if not values[name]]
        if missing:
            raise FusionError(
                f"Row {number} of {path} lacks {' and '.join(missing)}; the columns are {', '.join(REQUIRED_COLUMNS)}."
            )
        modality = values["modality"].lower()
        if modality not in MODALITIES:
            raise FusionError(
                f"Row {number} of {path} has the modality {values['modality']!r}; "
                f"choose one of {', '.join(MODALITIES)}."
            )
        label = re.sub("[^A-Za-z0-9]", "", values["case"])
        if not label:
            raise FusionError(f"Row {number} of {path} has the case name {values['case']!r}; use letters or digits.")
        fixed, moving = (_path(path, values[role]) for role in ("fixed", "moving"))
        fixed_series, moving_series = (values[name] or None for name in SERIES_COLUMNS)
        mask = _path(path, row[MASK_COLUMN]) if row.get(MASK_COLUMN) else None
        pair = Pair(fixed, moving, modality, fixed_series, moving_series, mask, row.get(FRAMES_COLUMN) or None)
        row_names = TableRow(values["case"], values["fixed"], values["moving"])
        cases.append(Case(pair, (f"sub-{label}",), "MRI", ("", ""), row=row_names))
    root = _common_folder(path, cases)
    placed = (
        replace(case, sources=(source_uri(case.pair.fixed, root), source_uri(case.pair.moving, root))) for case in cases
    )
    return Cohort(tuple(placed), (), root, _about_columns(path, columns))


def _path(table: Path, text: str) -> Path:
    """Return a path in a table, relative to the table's folder unless absolute; ~ is the home folder, as in a shell."""
    if not text.startswith("~") or (table.parent / text).exists():
        return table.parent / text
    return table.parent / os.path.expanduser(text)


def _about_columns(table: Path, columns: Collection[str]) -> str:
    """Return a remark on the columns of a table that are not used, and on those that may be misspelt."""
    unknown = [name for name in dict.fromkeys(columns) if name and name not in COLUMNS]
    if not unknown:
        return ""
    absent = [name for name in COLUMNS if name not in columns]
    meant = {
        name: [*difflib.get_close_matches(name, absent, 1, CLOSE), *(known for known in absent if f"_{name}" in known)]
        for name in unknown
    }
    questions = [f" Did you mean {close[0]!r} by {name!r}?" for name, close in meant.items() if close]
    listed = ", ".join(map(repr, unknown))
    return f"Unknown columns of {table.name} are not used: {listed}.{''.join(questions)}"


def _common_folder(table: Path, cases: Sequence[Case]) -> Path:
    """Return the deepest folder that holds the table and all volumes that are no DICOM; the table's on several drives.

    A BIDS URI names a file below its dataset's root: neither an absolute path nor one with "..".
    """
    files = [path for case in cases for path in (case.pair.fixed, case.pair.moving) if not is_dicom_path(path)]
    folders = [os.path.dirname(os.path.abspath(file)) for file in (table, *files)]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # on Windows
        return Path(folders[0])
