"""The messages between Slicer and the worker: JSON objects, one a line, in ASCII.

To the worker, on its standard input, the end of which ends it:

    {"kind": "job", "job": 1, "do": "case", "arguments": {...}}
    {"kind": "cancel", "job": 1}

From the worker, on its standard output:

    {"kind": "ready", "pid": 4711}                                 it takes jobs, one after the other
    {"kind": "begun", "job": 1}
    {"kind": "progress", "job": 1, "stage": "fusion", "fraction": 0.8, "slices": [12, 91]}
    {"kind": "log", "level": 30, "text": "..."}                    as the module logging has levels
    {"kind": "result", "job": 1, "result": {...}}
    {"kind": "failure", "job": 1, "why": "refused", "text": "..."}
    {"kind": "failure", "job": 1, "why": "cancelled"}
    {"kind": "failure", "job": 1, "why": "bug", "text": "...", "traceback": "..."}
"""

import json
from typing import Any

Message = dict[str, Any]


def encode(kind: str, **content: Any) -> bytes:
    """Return a message as a line of bytes."""
    return json.dumps({"kind": kind, **content}).encode("ascii") + b"\n"


class Lines:
    """Puts bytes together to messages, however they were cut on their way."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[Message | str]:
        """Return what has become complete: messages, and lines that are none as text."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [_decoded(line) for line in lines if line.strip()]


def _decoded(line: bytes) -> Message | str:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if isinstance(message, dict) and "kind" in message:
        return message
    return line.decode("utf-8", "replace")
