"""Volumes read from files and results written to them, whole or not at all."""

import contextlib
import errno
import gzip
import math
import os
import re
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError

steepest = 1e3  # a part of an axis' direction, which should be 1 at most
block = 1 << 20  # bytes read or written at once
UNFINISHED = ".unfinished-"  # how the folders begin in which results are written at first


def read_volume(path: Path | str) -> sitk.Image:
    """A volume from a NIfTI, NRRD or MetaImage file, in its own pixel type; FusionError for any other file."""
    path = Path(path)
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise FusionError(f"There is no file {path}; give the path of a NIfTI, NRRD or MetaImage file.")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's remarks on header fields that nothing here uses
    try:
        if path.suffix in (".mha", ".mhd") and not _has_few_dimensions(path):
            raise RuntimeError
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        if not all(abs(part) < steepest for part in reader.GetDirection()):  # over which ITK would think for ever
            raise FusionError(f"The axes that the file {path} gives its volume have no bounds; give a right one.")
        image = reader.Execute()
        whole = not path.name.endswith((".nii", ".nii.gz")) or _is_whole_nifti(path)
    except (RuntimeError, OSError, EOFError, zlib.error, struct.error):
        whole = False
    if not whole:
        raise FusionError(
            f"The file {path} cannot be read: it is cut short, damaged or no NIfTI, NRRD or MetaImage volume; "
            "give a whole one."
        )
    if image.GetDimension() != 3:
        raise FusionError(
            f"The file {path} has {image.GetDimension()} dimensions and not 3; save the one volume you mean by itself."
        )
    return image


def write_volume(image: sitk.Image, path: Path | str) -> None:
    """Write a volume, compressed; FusionError where that fails."""
    try:
        values = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
        _make_room(path, values * image.GetSizeOfPixelComponent())
        sitk.WriteImage(image, str(path), useCompression=True)
    except (RuntimeError, OSError) as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def write_transform(transform: sitk.Transform, path: Path | str) -> None:
    """Write a transform; FusionError where that fails. As .h5, Slicer opens it."""
    try:
        _make_room(path, 8 * transform.GetNumberOfParameters())
        sitk.WriteTransform(transform, str(path))
    except (RuntimeError, OSError) as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def write_bytes(content: bytes, path: Path | str) -> None:
    """Write a file; FusionError where that fails."""
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error


def _make_room(path: Path | str, size: int) -> None:
    """Fill a file with at least `size` bytes, for another writer to begin it anew; OSError where the disk has no room.

    The other writers cannot be trusted with a full disk: ITK does not see it where only the last bytes of a PNG are
    lost, and HDF5 brings the whole process down.
    """
    with open(path, "wb") as file:
        for _ in range(size // block + 1):
            file.write(bytes(block))


@contextlib.contextmanager
def written_whole(folder: Path | str) -> Iterator[Path]:
    """Yield a new folder to write results in; they move into `folder`, over what is there, once all are complete.

    An error on the way leaves `folder` as it was, also where one of the files there cannot be replaced. What a run must
    not replace is checked before, by `refuse_overwriting`.

    Raises:
        FusionError: The folder cannot be written to, or one of the files in it cannot be replaced.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{UNFINISHED}*"):
            if time.time() - left.stat().st_mtime > 24 * 3600:  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as unfinished:
            yield Path(unfinished)
            _move_all(sorted(Path(unfinished).iterdir()), folder)
    except OSError as error:
        raise FusionError(f"The results cannot be written to {folder} ({error.strerror}); choose another.") from error


def _move_all(files: list[Path], folder: Path) -> None:
    """Move files of a folder below `folder` into it, over files of their names; all of them, or none and OSError.

    A file cannot be replaced where another program keeps it open on Windows, or where a folder has its name.
    """
    if not files:
        return
    older, moved = Path(tempfile.mkdtemp(dir=files[0].parent)), []
    try:
        for path in files:
            target = folder / path.name
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
            with contextlib.suppress(FileNotFoundError):
                os.replace(target, older / path.name)
            moved.append(target)
            os.replace(path, target)
    except OSError:
        for target in moved:
            if os.path.lexists(older / target.name):
                os.replace(older / target.name, target)
            else:
                target.unlink(missing_ok=True)
        raise


def _has_few_dimensions(path: Path) -> bool:
    """Whether a MetaImage file gives its volume 1 to 10 dimensions; for more, ITK writes beyond its own memory."""
    with path.open("rb") as file:
        given = re.findall(rb"NDims\s*[=:]\s*(\S*)", file.read(block))
    return all(each.isdigit() and 1 <= int(each) <= 10 for each in given) and len(given) > 0


def _is_whole_nifti(path: Path) -> bool:
    """Whether a NIfTI file holds all the voxels that its header promises; ITK fills up missing ones without a word."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(540)
        length = len(header)
        while part := file.read(block):
            length += len(part)
    # The fields dim, bitpix and vox_offset, as nifti1.h and nifti2.h place them.
    order = "<" if struct.unpack_from("<i", header)[0] in (348, 540) else ">"
    if struct.unpack_from(f"{order}i", header)[0] == 348:
        layout = (("8h", 40), ("h", 72), ("f", 108))
    else:
        layout = (("8q", 16), ("h", 14), ("q", 168))
    dimensions, (bits,), (start,) = (struct.unpack_from(order + kind, header, offset) for kind, offset in layout)
    return length >= start + math.prod(dimensions[1 : dimensions[0] + 1]) * bits // 8
