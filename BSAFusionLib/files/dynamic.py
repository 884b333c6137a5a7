"""Dynamic PET: its frames, when each was measured, which are registered; read from a four-dimensional NIfTI."""

import gzip
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.nifti_header import clear_time, nifti_header, read_header, set_frame_count
from BSAFusionLib.files.sidecars import described, unread_sidecars
from BSAFusionLib.files.volumes import COMPRESSION_LEVEL, LoadedVolume, load_frames, write_volume
from BSAFusionLib.geometry.fields import resample_through

RANGE = re.compile(r"(\d+)(?:-(\d+))?")
UNEVEN = 0.01  # share of a step by which times may miss even ones


@dataclass(frozen=True)
class Frames:
    """All frames of a dynamic volume.

    Attributes:
        images: One a frame, float32.
        starts: When each began, s; empty where the file does not say.
        durations: How long each took, s; empty where the file does not say.
        registered: Numbers of the frames whose mean is registered, from 0.
        references: Time that the values of each stand for by DICOM, s, from the reference time of its series; empty
            where the file does not say.
        by_header: Whether the times are those of a NIfTI's header, in which all frames take equally long.
    """

    images: tuple[sitk.Image, ...]
    starts: tuple[float, ...]
    durations: tuple[float, ...]
    registered: tuple[int, ...]
    references: tuple[float, ...] = ()
    by_header: bool = False

    def mean(self) -> sitk.Image:
        """Return the mean of the registered frames (float32), each weighted by its duration where that is known."""
        weights = np.array([self.durations[n] if self.durations else 1.0 for n in self.registered])
        total: sitk.Image = sitk.Image(self.images[0]) * 0.0
        for number, weight in zip(self.registered, weights / weights.sum(), strict=True):
            total = total + self.images[number] * float(weight)
        return total

    def numbers(self) -> list[int]:
        """Return the numbers of the registered frames, from 1."""
        return [number + 1 for number in self.registered]

    def write_carried(
        self, path: Path, grid: sitk.Image, transform: sitk.Transform, interpolator: int = sitk.sitkLinear
    ) -> None:
        """Resample every frame through one transform onto a grid, and write all to a NIfTI, one after the other.

        Time is the fourth dimension, float32; the header states a step in time only where there is an even one.

        Args:
            path: Of the file; compressed if its name says so.
            grid: A volume on it.
            transform: Grid point to frame point, mm, LPS.
            interpolator: One of SimpleITK's.

        Raises:
            FusionError: Writing failed.
        """
        packed = path.name.endswith(".gz")
        try:
            with gzip.open(path, "wb", COMPRESSION_LEVEL) if packed else path.open("wb") as target:
                for number, image in enumerate(self.images):
                    frame = resample_through(image, grid, transform, interpolator)
                    if number == 0:
                        target.write(self._header(frame, path.parent))
                    target.write(sitk.GetArrayViewFromImage(frame).data)
        except OSError as error:
            raise FusionError(f"The file {path} could not be written; see that the disk has room.") from error

    def _header(self, frame: sitk.Image, folder: Path) -> bytes:
        """Return what precedes the voxels in a NIfTI of all frames; ITK makes it, of the first one, in a folder."""
        step = self.even_step()
        first = self.starts[0] if step is not None and self.starts else 0.0
        with tempfile.TemporaryDirectory(dir=folder) as temporary:  # a system's own may be small
            plain = Path(temporary) / "frame.nii"
            write_volume(sitk.JoinSeries([frame], first, 1.0 if step is None else step), plain)
            set_frame_count(plain, len(self.images))
            if step is None:
                clear_time(plain)
            with plain.open("rb") as file:
                return file.read(int(read_header(plain).fields["start"]))

    def even_step(self) -> float | None:
        """Return the time from one frame to the next, s; None where it is not known, or frames differ in it."""
        durations, starts = np.array(self.durations), np.array(self.starts)
        if len(durations) > 0 and np.ptp(durations) > UNEVEN * durations[0]:
            return None
        if len(starts) < 2:
            return float(durations.mean()) if len(durations) > 0 else None
        step = (starts[-1] - starts[0]) / (len(starts) - 1)
        missed = np.abs(starts - starts[0] - step * np.arange(len(starts))).max()
        return float(step) if step > 0 and missed <= UNEVEN * step else None

    def times(self) -> dict[str, object]:
        """Return what a sidecar says of the frames, by the names of BIDS; the registered ones are counted from 1."""
        known = {
            "FrameTimesStart": list(self.starts),
            "FrameDuration": list(self.durations),
            "FrameReferenceTime": list(self.references),
        }
        return {
            **{name: values for name, values in known.items() if values},
            "Frames": len(self.images),
            "RegisteredFrames": self.numbers(),
        }

    def remark(self, name: str) -> str:
        """Return what is done with the frames in a registration, a sentence.

        Args:
            name: Of the volume, at the beginning of a sentence.
        """
        weighted = "weighted by their durations"
        if self.by_header:
            weighted = f"weighted alike, since by the header each took {self.durations[0]:g} s"
        elif not self.durations:
            weighted = "not weighted, since their durations are not known"
        return (
            f"{name} has {len(self.images)} frames: the mean of {len(self.registered)} of them, {weighted}, was "
            "registered, and all were carried along."
        )


def is_dynamic(path: Path) -> bool:
    """Tell whether a file is a NIfTI with several frames."""
    try:
        header = nifti_header(path) if path.is_file() else None
    except (OSError, EOFError):  # reading the volume says why
        return False
    return header is not None and len(header.size) == 4 and header.size[3] > 1


def read_dynamic(path: Path, chosen: str | None) -> tuple[LoadedVolume, Frames]:
    """Read a dynamic volume.

    Args:
        path: A file for which `is_dynamic` is true; times come from its sidecars, else from its header.
        chosen: Frames to register, counted from 1, such as "3-8,12"; None for all.

    Returns:
        The mean of the chosen frames, and all frames.

    Raises:
        FusionError: It cannot be read, or has no such frames.
    """
    loaded = load_frames(path)
    images = as_floats([frame.image for frame in loaded])
    frames = replace(_timed(path, images), registered=chosen_frames(chosen, len(images)))
    first = loaded[0]
    remarks = (*unread_sidecars(path), *first.remarks)
    return LoadedVolume(frames.mean(), remarks, first.placed, first.label_map), frames


def as_floats(frames: Sequence[sitk.Image]) -> tuple[sitk.Image, ...]:
    """Return frames as float32.

    Raises:
        FusionError: They have several values per voxel, which have no mean that could be registered.
    """
    components = frames[0].GetNumberOfComponentsPerPixel()
    if components > 1:
        raise FusionError(
            f"The frames of the dynamic volume have {components} values per voxel (colors?); give frames of one value."
        )
    return tuple(sitk.Cast(frame, sitk.sitkFloat32) for frame in frames)


def chosen_frames(chosen: str | None, count: int) -> tuple[int, ...]:
    """Return the numbers of chosen frames, from 0.

    Args:
        chosen: Counted from 1, such as "3-8,12"; None for all.
        count: How many there are.

    Raises:
        FusionError: Some do not exist.
    """
    numbers: set[int] = set()
    for part in (chosen or f"1-{count}").replace(" ", "").split(","):
        found = RANGE.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= count:
            raise FusionError(
                f"The frames {part!r} do not exist; give numbers from 1 to {count} and ranges, such as 1-{count}."
            )
        numbers |= set(range(first - 1, last))
    return tuple(sorted(numbers))


def _timed(path: Path, images: tuple[sitk.Image, ...]) -> Frames:
    """Return all frames with when they began and how long they took, by the sidecars, else by the header."""
    content, everything = described(path), tuple(range(len(images)))
    try:
        starts, durations = (tuple(map(float, content.get(name, ()))) for name in ("FrameTimesStart", "FrameDuration"))
    except (ValueError, TypeError):
        starts, durations = (), ()
    starts, durations = (times if len(times) == len(images) else () for times in (starts, durations))
    if not all(0 < duration < math.inf for duration in durations):
        durations = ()
    header = nifti_header(path)
    stated = header.even_times(len(images)) if header and not (starts or durations) else None
    if stated is not None:
        starts, step = stated
        return Frames(images, starts, (step,) * len(images), everything, by_header=True)
    return Frames(images, starts, durations, everything)
