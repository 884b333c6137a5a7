"""Text files: JSON of this program, and text of other programs, which may be in several encodings."""

import json
from pathlib import Path
from typing import Any

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16 or Windows' western code page, with or without a byte order mark.

    Raises:
        UnicodeDecodeError: It is in none of these.
    """
    if content.startswith(UTF_16_MARKS):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
