"""Where the images of a series lie when a user gives a single file: one image of it, or a DICOMDIR."""

from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.uid import MediaStorageDirectoryStorage

from BSAFusionLib.files.dicom.series import Series


class Source(NamedTuple):
    """A folder or file to look for a series in.

    Attributes:
        path: The folder, with all below it, or the file.
        series_uid: Series Instance UID of the series to take, or None for the only one.
        from_one_image: Whether the user gave one image of the series.
    """

    path: Path
    series_uid: str | None
    from_one_image: bool = False

    def remarks(self, series: Series) -> tuple[str, ...]:
        """Return what the user should know about the choice."""
        if not self.from_one_image or series.images == 1:
            return ()
        return (f"One image of {series.name} was given; all {series.images} images beside it were taken.",)


def series_source(path: Path, series_uid: str | None = None) -> Source:
    """Return where the series of a path lies: beside a single image of it, or below a DICOMDIR.

    Args:
        path: A DICOM folder or file.
        series_uid: The one that the user asks for, or None.
    """
    if path.is_dir():
        return Source(path, series_uid)
    tags = ["SeriesInstanceUID", "NumberOfFrames", "Modality"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        frames = int(header.get("NumberOfFrames", 1) or 1)
    except PermissionError:
        raise
    except Exception:  # damaged, as `choose_series` will say
        return Source(path, series_uid)
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return Source(path.parent, series_uid)
    uid = str(header.get("SeriesInstanceUID", ""))
    if frames > 1 or not uid or "Modality" not in header:
        return Source(path, series_uid)
    return Source(path.parent, uid if series_uid is None else series_uid, from_one_image=True)
