"""Tables as spreadsheet programs of any language save them: commas, semicolons or tabs, several encodings."""

import csv
import io
from pathlib import Path

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.texts import decoded

DELIMITERS = ",;\t|"
SEPARATOR_LINE = "sep="  # with which Excel says the delimiter


def read_table(path: Path) -> dict[int, dict[str, str]]:
    """Read the rows of a table below its header.

    Args:
        path: A text file in UTF-8, UTF-16 or Windows' western code page, with or without a byte order mark.

    Returns:
        By a row's number, as spreadsheet programs count, its values by the names of their columns, both without spaces
        around them; the names in small letters. Empty rows are left out.

    Raises:
        FusionError: It cannot be read, or is no table.
    """
    try:
        text = decoded(path.read_bytes())
        if "\0" in text:  # of a file that is no text, or is UTF-16 without a mark; no path may hold it
            raise csv.Error("line contains NUL")
        if text.lower().startswith(SEPARATOR_LINE):
            text = text.partition("\n")[2]
        header = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=header.count)
        names, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) or [[]]
    except OSError as error:
        raise FusionError(f"The table {path} cannot be read ({error.strerror}); see that you may open it.") from error
    except (UnicodeError, csv.Error) as error:
        raise FusionError(f"The table {path} cannot be read as CSV in UTF-8; save it again.") from error
    columns = [name.strip().lower() for name in names]
    return {
        number: dict(zip(columns, map(str.strip, row), strict=False))
        for number, row in enumerate(rows, start=2)
        if any(value.strip() for value in row)
    }
