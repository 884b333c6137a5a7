"""Tables as spreadsheet programs of any language save them: commas, semicolons or tabs, several encodings."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.texts import decoded

DELIMITERS = ",;\t|"
SEPARATOR_LINE = "sep="  # with which Excel says the delimiter


class Table(NamedTuple):
    """The rows of a table below its header.

    Attributes:
        columns: Their names, in small letters, with an underscore between words.
        rows: By a row's number, as spreadsheet programs count, its values by the names of their columns. Empty rows are
            left out.
    """

    columns: tuple[str, ...]
    rows: dict[int, dict[str, str]]


def read_table(path: Path, used: Collection[str]) -> Table:
    """Read a table; names and values come without spaces around them.

    Args:
        path: A text file in UTF-8, UTF-16 or Windows' western code page, with or without a byte order mark.
        used: The columns that must not be there twice.

    Raises:
        FusionError: It cannot be read, is no table, or names a used column twice, or a row has too many values.
    """
    try:
        text = decoded(path.read_bytes())
        if "\0" in text:  # of a file that is no text, or is UTF-16 without a mark; no path may hold it
            raise csv.Error("line contains NUL")
        if text.lower().startswith(SEPARATOR_LINE):
            text = text.partition("\n")[2]
        header = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=header.count)
        names, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)) or [[]]
    except OSError as error:
        raise FusionError(f"The table {path} cannot be read ({error.strerror}); see that you may open it.") from error
    except UnicodeError as error:
        raise FusionError(f"The table {path} cannot be read as CSV in UTF-8; save it again.") from error
    except csv.Error as error:  # such as a quote that does not end, which would swallow the rows below
        raise FusionError(
            f"The table {path} cannot be read as CSV ({error}); check its quotes, or save it again."
        ) from error
    return _by_column(path, names, rows, used)


def _by_column(path: Path, names: list[str], rows: list[list[str]], used: Collection[str]) -> Table:
    """Return the values of the rows that are not empty by the names of their columns."""
    columns = [re.sub("[ -]+", "_", name.strip().lower()) for name in names]
    twice = [name for name, count in Counter(columns).items() if name in used and count > 1]
    if twice:
        raise FusionError(f"The table {path} has two columns {twice[0]}; remove or rename one.")
    by_number = {}
    for number, row in enumerate(rows, start=2):
        values = [value.strip() for value in row]
        if any(values[len(columns) :]):
            raise FusionError(
                f"Row {number} of {path} has more values than the table has columns; put a value that holds the "
                "delimiter in quotes."
            )
        if any(values):
            by_number[number] = dict(zip(columns, values, strict=False))
    return Table(tuple(columns), by_number)
