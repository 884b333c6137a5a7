"""Read, register and fuse, and write one case on the command line."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from BSAFusionLib.commands._progress import say
from BSAFusionLib.commands._record import record_of
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.outputs import SCENE, SLICES, UNIT_KEY, Names
from BSAFusionLib.files.paths import path_from
from BSAFusionLib.files.texts import write_json

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from BSAFusionLib.files.dynamic import Frames
    from BSAFusionLib.files.inputs import Input, Pair
    from BSAFusionLib.pipeline.progress import Progress
    from BSAFusionLib.pipeline.report import Report
    from BSAFusionLib.pipeline.result import Result
    from BSAFusionLib.report.record import Record
    from BSAFusionLib.worker.case import Case

DEFAULT_NAMES = Names()
# Imported after the inputs are read: it takes seconds, and an unreadable input is reported before.
LIBRARIES = ("torch", "BSAFusionLib.pipeline.register_and_fuse", "BSAFusionLib.report.planes")
DOUBTFUL_STATUS = 3  # exit status of a doubtful result with --strict


def case_inputs(pair: "Pair", choices: dict[str, Any]) -> list[Path]:
    """Return the files and DICOM folders that a case reads: its volumes, a mask and possible weights."""
    from BSAFusionLib.files.inputs import source_of
    from BSAFusionLib.resources import MODELS

    weights = choices["weights"]
    return [*map(source_of, pair.paths().values()), *([Path(weights)] if weights else sorted(MODELS.iterdir()))]


def case_names(names: Names = DEFAULT_NAMES) -> list[str]:
    """Return the names of all files that a result may have."""
    return [*asdict(names).values(), *((SCENE, *SLICES) if names == DEFAULT_NAMES else ())]


def case_outputs(folder: Path, names: Names = DEFAULT_NAMES) -> list[Path]:
    """Return the files that `run_case` and `demo` write or remove, in the folder that they are moved into."""
    return [folder / name for name in case_names(names)]


def earlier_names(folder: Path) -> list[str]:
    """Return the names of the files that the report of an earlier result in `folder` lists.

    They do not stay beside a new result. Others of these names may be the user's own, such as a scene.
    """
    try:
        files = json.loads((folder / DEFAULT_NAMES.report).read_text(encoding="utf-8"))["files"]
        return [name for name in files.values() if name in case_names()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or a file of another program
        return []


def list_in_report(folder: Path, what: str, name: str) -> None:
    """Add a file to those that the report of a result in `folder` lists.

    Args:
        folder: The folder of the result.
        what: What the file is.
        name: Its name.
    """
    path = folder / DEFAULT_NAMES.report
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"][what] = name
    write_json(content, path)


class FinishedCase(NamedTuple):
    """A computed and written case: its volumes as read, and the outcome."""

    fixed: "Input"
    moving: "Input"
    case: "Case"

    @property
    def unit(self) -> str:
        """Return the unit of the registered volume's values; "" where it is not known, and for values in color.

        Of a CT its tags do not count: they do not say where the values were shifted.
        """
        from BSAFusionLib.modalities import MODALITIES
        from BSAFusionLib.report.overlay import RELATIVE

        if self.moving.image.GetNumberOfComponentsPerPixel() > 1:
            return ""
        if MODALITIES[self.moving.modality].window is None:
            return self.moving.unit
        shown = self.case.pictures.overlay.unit
        return "" if shown == RELATIVE else shown

    def reporting(self, report: "Report", seconds: Mapping[str, float]) -> "FinishedCase":
        """Return the same case with another report, and the seconds of its stages so far."""
        result = replace(self.case.result, report=replace(report, seconds=dict(seconds)))
        return self._replace(case=replace(self.case, result=result))


def run_case(
    pair: "Pair",
    choices: dict[str, Any],
    folder: Path,
    names: Names = DEFAULT_NAMES,
    landmarks: Sequence[Path] = (),
    progress: "Progress | None" = None,
    begun: float | None = None,
) -> FinishedCase:
    """Read a pair, register and fuse it, and write the results.

    Args:
        pair: The files or DICOM folders of both volumes, and a mask.
        choices: Fields of `Settings` except the modality, which is the pair's.
        folder: A folder of `written_whole`. DICOM tags of the volumes are written into their metadata and the report,
            which also names the input files relative to the folder that the results are moved into.
        names: Names of the files.
        landmarks: No file, or two with the same points on the fixed and on the moving volume; the report then has their
            distances.
        progress: Called with the stage, the fraction of the whole job, and the slices done.
        begun: When the first stage of the report began, by `time.perf_counter`; now by default.

    Raises:
        FusionError: A problem that the user can fix.
    """
    # Imported here so that --help is quick.
    from BSAFusionLib.files.inputs import read_pair
    from BSAFusionLib.files.points import read_points
    from BSAFusionLib.files.volumes import load_volume
    from BSAFusionLib.pipeline.progress import Stopwatch
    from BSAFusionLib.settings import Settings
    from BSAFusionLib.worker.case import compute_case
    from BSAFusionLib.worker.libraries import import_without_collection

    watch = Stopwatch(begun)
    watch.lap("start")
    points = [read_points(path) for path in landmarks]
    fixed, moving = read_pair(pair)
    mask = None if pair.fixed_mask is None else load_volume(pair.fixed_mask)
    remarks = (*fixed.remarks, *moving.remarks, *(() if mask is None else mask.remarks))
    for remark in remarks:
        say(remark, quiet=progress is None)  # before the long wait, and again in the report
    watch.lap("reading")
    import_without_collection(LIBRARIES)
    watch.lap("libraries")
    settings = Settings(modality=moving.modality, **choices)
    mask_image = None if mask is None else mask.image
    case = compute_case(fixed.image, moving.image, settings, progress, fixed_mask=mask_image)
    watch.lap("pictures", case.result.report.seconds)
    report = _whole_report(case.result, points, remarks)
    finished = FinishedCase(fixed, moving, case)
    pictures = case.pictures.in_unit(finished.unit)
    finished = finished._replace(case=replace(case, pictures=pictures)).reporting(report, watch.seconds)
    record = record_of(finished, pair, choices, landmarks, folder.parent)
    _write_files(finished, record, folder, names)
    watch.lap("files")
    finished = finished.reporting(report, watch.seconds)
    _write_report(finished, pair, record, folder, names)
    return finished


def _whole_report(result: "Result", points: "Sequence[np.ndarray]", remarks: Sequence[str]) -> "Report":
    """Return the report of a result with the distances of landmarks, if there are any, and remarks on its files."""
    from BSAFusionLib.pipeline.landmarks import landmark_error

    report = replace(result.report, warnings=(*remarks, *result.report.warnings))
    return replace(report, landmarks=landmark_error(*points, result)) if points else report


def _write_files(finished: FinishedCase, record: "Record", folder: Path, names: Names) -> None:
    """Write all files of a result but the JSON of its report."""
    # ITK compresses the volumes without Python's lock, and so while the page is drawn.
    with ThreadPoolExecutor(1) as pool:
        volumes = pool.submit(_write_volumes, finished, folder, names)
        _write_page(finished, record, folder, names)
        volumes.result()


def _write_volumes(finished: FinishedCase, folder: Path, names: Names) -> None:
    """Write fused, overlay and registered volume, with DICOM's metadata, and the transform, whole and in two parts."""
    from BSAFusionLib.files.volumes import write_transform, write_volume
    from BSAFusionLib.geometry.fields import displacement_transform
    from BSAFusionLib.report.overlay_volume import overlay_volume

    fixed, moving, case = finished
    place = {key: fixed.metadata[key] for key in ("FrameOfReferenceUID",) if fixed.metadata}
    unit = {UNIT_KEY: finished.unit} if finished.unit else {}
    write_volume(_with_metadata(case.result.fused, place), folder / names.fused)
    overlay = overlay_volume(case.result.fixed, case.result.registered, case.pictures.overlay)
    write_volume(_with_metadata(overlay, place), folder / names.overlay)
    write_volume(_with_metadata(case.result.registered, {**place, **unit}), folder / names.registered)
    write_transform(case.result.transform(), folder / names.deformation)
    write_transform(case.result.prealignment, folder / names.rigid)
    if case.result.deforms:
        write_transform(displacement_transform(case.result.network_field), folder / names.network)
    if case.result.expected_error is not None:
        write_volume(_with_metadata(case.result.expected_error, place), folder / names.expected_error)
    if moving.frames is not None:
        _write_frames(finished, moving.frames, folder, names)


def _write_frames(finished: FinishedCase, frames: "Frames", folder: Path, names: Names) -> None:
    """Write all frames of a dynamic volume on the MRI's grid as one 4-D file, and their times beside it."""
    frames.write_carried(folder / names.frames, finished.fixed.image, finished.case.result.transform())
    write_json(frames.times(), folder / names.frame_times)


def _write_page(finished: FinishedCase, record: "Record", folder: Path, names: Names) -> None:
    """Write the report as a page, and the preview."""
    from BSAFusionLib.files.volumes import write_bytes
    from BSAFusionLib.report.figures import Drawing
    from BSAFusionLib.report.page import page

    fixed, moving, case = finished
    title = f"{moving.name} to {fixed.name}"
    (folder / names.page).write_text(page(case.pictures, case.result.report, title, record), encoding="utf-8")
    preview = Drawing(case.pictures).preview(case.result.report.verdict.doubtful)
    write_bytes(preview, folder / names.preview)


def _write_report(finished: FinishedCase, pair: "Pair", record: "Record", folder: Path, names: Names) -> None:
    """Write the report as JSON."""
    fixed, moving, case = finished
    report = case.result.report
    sources = {role: volume.metadata for role, volume in (("fixed", fixed), ("moving", moving)) if volume.metadata}
    # DICOM is named by its tags only: its folder may be named after the patient.
    paths = {role: path for role, path in pair.paths().items() if role not in sources}
    missing = {"network": not case.result.deforms, "expected_error": case.result.expected_error is None}
    missing |= dict.fromkeys(("frames", "frame_times"), moving.frames is None)
    content = {
        **report.as_dict(),
        "overlay": asdict(case.pictures.overlay),
        "files": {what: name for what, name in asdict(names).items() if not missing.get(what, False)},
        "inputs": {role: path_from(folder.parent, path) for role, path in paths.items()},
        **({"unit": finished.unit} if finished.unit else {}),
        **({} if moving.frames is None else {"registered_frames": moving.frames.numbers()}),
        **({"dicom": sources} if sources else {}),
        "run": asdict(record),
    }
    write_json(content, folder / names.report)


def save_json(content: dict, path: Path, results: Path | None = None) -> None:
    """Write a --json file completely or not at all.

    Args:
        content: Figures.
        path: The file.
        results: Folder that other results were written to before, if any; the error then names it.

    Raises:
        FusionError: The file cannot be written.
    """
    from BSAFusionLib.files.atomic import not_written, written_whole

    try:
        with written_whole(path.parent) as folder:
            write_json(content, folder / path.name)
    except FusionError as error:
        if results is None:
            raise not_written(path) from error
        raise FusionError(
            f"The results are in {results}, but the file given with --json cannot be written: {path}; choose another "
            "place for it."
        ) from error


def _with_metadata(image: "sitk.Image", metadata: dict[str, str]) -> "sitk.Image":
    """Return the image with metadata, without copying voxels."""
    import SimpleITK as sitk

    image = sitk.Image(image)
    for key, text in metadata.items():
        image.SetMetaData(key, text)
    return image
