"""Tell DICOM files from others by their first bytes, also those that lack the preamble; imports nothing heavy."""

import struct
from pathlib import Path

PREAMBLE_BYTES, MAGIC = 128, b"DICM"
FIRST_GROUPS = (0x0002, 0x0008)  # of the file meta information, and of the data set where that is missing
LAST_FIRST_ELEMENT = 0x0018  # the SOP Instance UID, before which nothing has to stand
FIRST_VALUE_TYPES = (b"UL", b"CS", b"DA", b"TM", b"UI", b"OB", b"SH")
LONGEST_FIRST_VALUE = 128  # bytes


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file is DICOM: by its preamble, or by a first element as old and stripped files begin with.

    Raises:
        OSError: It cannot be opened.

    Source: DICOM PS3.10, 7.1, and PS3.5, 7.1.2.
    """
    with path.open("rb") as file:
        head = file.read(PREAMBLE_BYTES + len(MAGIC))
    if head[PREAMBLE_BYTES:] == MAGIC:
        return True
    if len(head) < PREAMBLE_BYTES:
        return False
    group, element, value_type = struct.unpack_from("<HH2s", head)
    if group not in FIRST_GROUPS or element > LAST_FIRST_ELEMENT:
        return False
    if value_type in FIRST_VALUE_TYPES:
        return True
    length = int(struct.unpack_from("<I", head, 4)[0])  # of a value whose type is implied
    return bool(group == FIRST_GROUPS[1] and length % 2 == 0 and 0 < length <= LONGEST_FIRST_VALUE)


def is_dicom_path(path: Path) -> bool:
    """Tell whether a path is read as DICOM: a folder, or a file that is one by its first bytes.

    False where it cannot be opened: reading the volume says why.
    """
    try:
        return path.is_dir() or (path.is_file() and is_dicom_file(path))
    except OSError:
        return False
