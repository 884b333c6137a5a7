"""The frames of a dynamic volume: how they travel between processes, and how a result carries them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.result import Result

KEY = "frames"  # of their headers in a job's arguments and in its answer


def carried_frames(frames: Iterable[Volume], result: "Result") -> Iterator[Volume]:
    """Resample frames onto the fixed volume's grid as `Result.registered` was, one after the other, in float32."""
    import SimpleITK as sitk  # here, since Slicer's own process does without it

    from BSAFusionLib.geometry.fields import resample_through

    transform = result.transform()
    for frame in frames:
        image = sitk.Cast(frame.image(), sitk.sitkFloat32)
        yield Volume.of(resample_through(image, result.registered, transform))


def write_frames(frames: Iterable[Volume], folder: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    """Write frames to a folder, and return their headers under `KEY`, ready for JSON; nothing where there are none.

    Args:
        frames: All of a volume, in their order.
        folder: Of the job.
        name: How the names of the files begin.
    """
    headers = [frame.save(folder / f"{name}_{number:04d}.npy") for number, frame in enumerate(frames)]
    return {KEY: headers} if headers else {}


def read_frames(content: dict[str, Any], folder: Path) -> tuple[Volume, ...]:
    """Return the frames that `write_frames` wrote; the voxels stay in their files, mapped into memory."""
    return tuple(Volume.load(header, folder) for header in content.get(KEY, ()))
