"""The one way to compute a case, whoever asks for it, and how a case and its outcome travel between processes."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES, Modality
from BSAFusionLib.pipeline.memory import explain_memory_errors
from BSAFusionLib.pipeline.progress import Progress, Stopwatch
from BSAFusionLib.pipeline.report import Report
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

    from BSAFusionLib.pipeline.result import Result


@dataclass(frozen=True)
class Deformation:
    """The total transform, fixed point -> moving point, and what its drawing needs; mm, LPS.

    Attributes:
        displacement: what the network adds: float32 vectors on a grid around the fixed volume. A point plus its
            displacement is carried on by `prealignment`.
        prealignment: 4 x 4 matrix.
        shortest_mm: smallest length of the total displacement over the fixed volume.
        longest_mm: largest one.
        extent_mm: longest side of the fixed volume.
    """

    displacement: Volume
    prealignment: np.ndarray
    shortest_mm: float
    longest_mm: float
    extent_mm: float


@dataclass(frozen=True)
class Outcome:
    """Everything that a scene is filled from, in arrays.

    Attributes:
        fused: On the fixed volume's grid.
        registered: On the fixed volume's grid.
        deformation: The total transform.
        report: Measures and warnings.
        pictures: Slices for the report's page.
        expected_error: In mm, on a coarse lattice over the fixed volume, NaN outside the head; None where it is not
            known.
    """

    fused: Volume
    registered: Volume
    deformation: Deformation
    report: Report
    pictures: Pictures
    expected_error: Volume | None = None


@dataclass(frozen=True)
class Case:
    """A computed case: the result, and what its report's pictures are drawn from."""

    result: "Result"
    pictures: Pictures

    def outcome(self) -> Outcome:
        """Return the case in arrays; the volumes are views."""
        result = self.result
        return Outcome(
            Volume.of(result.fused),
            Volume.of(result.registered),
            deformation_of(result.coarse_field(), result.network_field, result.prealignment),
            result.report,
            self.pictures,
            None if result.expected_error is None else Volume.of(result.expected_error),
        )


def compute_case(
    fixed: "sitk.Image",
    moving: "sitk.Image",
    settings: Settings,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    fixed_mask: "sitk.Image | None" = None,
) -> Case:
    """Register and fuse a pair, and prepare the report's pictures; the arguments are those of `register_and_fuse`.

    Raises:
        FusionError: a problem that the user can fix.
        Cancelled: `cancelled` returned True.
    """
    # Here, since Slicer's own process reads outcomes without SimpleITK.
    from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
    from BSAFusionLib.report.planes import sample_pictures

    watch = Stopwatch()
    with explain_memory_errors():
        result = register_and_fuse(fixed, moving, settings, progress, cancelled, fixed_mask)
        if settings.device == "auto" and result.report.device == "cpu":
            warnings = (*result.report.warnings, *_unused_gpus())
            result = replace(result, report=replace(result.report, warnings=warnings))
        pictures = sample_pictures(result.fixed, result.moving, result, settings.color_map)
        watch.lap("pictures", result.report.seconds)
        return Case(replace(result, report=replace(result.report, seconds=watch.seconds)), pictures)


def deformation_of(field: "sitk.Image", network_field: "sitk.Image", prealignment: "sitk.Transform") -> Deformation:
    """Return a result's transform in arrays.

    Args:
        field: total displacement over the fixed volume, as coarse as one likes, mm, LPS.
        network_field: what the network adds, a margin around it, mm, LPS.
        prealignment: linear transform that follows the network's field, mm, LPS.
    """
    added, total = Volume.of(network_field), Volume.of(field)
    lengths = [np.linalg.norm(plane, axis=-1) for plane in total.voxels]
    return Deformation(
        replace(added, voxels=added.voxels.astype(np.float32)),
        matrix_of(prealignment),
        float(min(plane.min() for plane in lengths)),
        float(max(plane.max() for plane in lengths)),
        float(max(np.multiply(field.GetSize(), field.GetSpacing()))),
    )


def matrix_of(transform: "sitk.Transform") -> np.ndarray:
    """Return the 4 x 4 matrix of a linear transform."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    matrix[:3, :3] = np.transpose([transform.TransformPoint(unit) - matrix[:3, 3] for unit in np.eye(3).tolist()])
    return matrix


def write_case(
    fixed: Volume, moving: Volume, settings: Settings, folder: Path, fixed_mask: Volume | None = None
) -> dict[str, Any]:
    """Write a case's volumes to a folder, and return the rest of it, ready for JSON.

    Raises:
        FusionError: the folder cannot be written to.
    """
    with _disk_told(folder):
        return {
            "folder": str(folder),
            "fixed": fixed.save(folder / "fixed.npy"),
            "moving": moving.save(folder / "moving.npy"),
            "fixed_mask": None if fixed_mask is None else fixed_mask.save(folder / "fixed_mask.npy"),
            "settings": _settings_as_dict(settings),
            "modalities": [asdict(row) for row in MODALITIES.values()],  # a script may have added some
        }


def read_case(case: dict[str, Any]) -> tuple["sitk.Image", "sitk.Image", Settings, "sitk.Image | None"]:
    """Return the fixed volume, the moving volume, the settings and the mask, if any, that `write_case` wrote.

    Raises:
        FusionError: the folder cannot be read.
    """
    folder = Path(case["folder"])
    with _disk_told(folder):
        fixed, moving, fixed_mask = (
            Volume.load(case[role], folder).image() if case[role] else None
            for role in ("fixed", "moving", "fixed_mask")
        )
    for row in case["modalities"]:
        colors = row["color_map"] and tuple(map(tuple, row["color_map"]))
        MODALITIES[row["name"]] = Modality(**{**row, "color_map": colors})
    return fixed, moving, _settings_from_dict(case["settings"]), fixed_mask


def write_outcome(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Write an outcome's arrays to a folder, and return the rest of it, ready for JSON.

    Raises:
        FusionError: the folder cannot be written to.
    """
    deformation = outcome.deformation
    with _disk_told(folder):
        outcome.pictures.save(folder / "pictures.npz")
        return {
            "fused": outcome.fused.save(folder / "fused.npy"),
            "registered": outcome.registered.save(folder / "registered.npy"),
            "deformation": {
                "displacement": deformation.displacement.save(folder / "displacement.npy"),
                "prealignment": deformation.prealignment.tolist(),
                "shortest_mm": deformation.shortest_mm,
                "longest_mm": deformation.longest_mm,
                "extent_mm": deformation.extent_mm,
            },
            "report": outcome.report.as_dict(),
            "expected_error": outcome.expected_error and outcome.expected_error.save(folder / "expected_error.npy"),
        }


def read_outcome(answer: dict[str, Any], folder: Path) -> Outcome:
    """Return what `write_outcome` wrote; the voxels stay in their files, mapped into memory.

    Raises:
        FusionError: the folder cannot be read.
    """
    deformation = answer["deformation"]
    with _disk_told(folder):
        return Outcome(
            Volume.load(answer["fused"], folder),
            Volume.load(answer["registered"], folder),
            Deformation(
                **{
                    **deformation,
                    "displacement": Volume.load(deformation["displacement"], folder),
                    "prealignment": np.array(deformation["prealignment"]),
                }
            ),
            Report.from_dict(answer["report"]),
            Pictures.load(folder / "pictures.npz"),
            answer["expected_error"] and Volume.load(answer["expected_error"], folder),
        )


@contextmanager
def _disk_told(folder: Path) -> Iterator[None]:
    """Raise FusionError where a file in a folder cannot be written or read, or memory runs out meanwhile."""
    with explain_memory_errors():
        try:
            yield
        except (OSError, ValueError) as error:  # numpy raises the latter for a file that is cut short
            if getattr(error, "errno", None) == errno.ENOMEM:
                raise MemoryError from error
            raise FusionError(
                f"The temporary folder {folder} cannot be used ({error}); see that its disk has room, and run again."
            ) from error


def _settings_as_dict(settings: Settings) -> dict[str, Any]:
    content = {field.name: getattr(settings, field.name) for field in fields(settings)}
    if settings.weights is not None:
        content["weights"] = os.path.abspath(settings.weights)  # the other process is in another folder
    if not isinstance(settings.prealignment, str):
        content["prealignment"] = matrix_of(settings.prealignment).tolist()
    return content


def _settings_from_dict(content: dict[str, Any]) -> Settings:
    import SimpleITK as sitk

    content = dict(content)
    if content["ct_window"] is not None:
        content["ct_window"] = tuple(content["ct_window"])
    if not isinstance(content["prealignment"], str):
        matrix = np.array(content["prealignment"])
        content["prealignment"] = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    return Settings(**content)


def _unused_gpus() -> list[str]:
    """Return a warning for every GPU that is here but that this PyTorch cannot use."""
    from BSAFusionLib.network.devices import list_devices  # here, since it imports torch

    return [
        f"{device.label} cannot be used by this PyTorch, so the CPU was taken; install a PyTorch made for it."
        for device in list_devices()
        if not device.works
    ]
