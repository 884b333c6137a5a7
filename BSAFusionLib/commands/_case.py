"""One case on the command line: two files into a scene, through the logic, and what comes out into a folder."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.files.outputs import Names

if TYPE_CHECKING:
    import SimpleITK as sitk

    from BSAFusionLib.files.inputs import Pair
    from BSAFusionLib.pipeline.report import Report
    from BSAFusionLib.pipeline.result import Result
    from BSAFusionLib.pipeline.stages import Progress, Slices

usual_names = Names()
scene_name = "scene.mrb"


def case_inputs(pair: "Pair", choices: dict[str, Any]) -> list[Path]:
    """Return the files and DICOM folders that a case reads: its volumes, and the weights that it may need."""
    from BSAFusionLib.resources import MODELS

    weights = choices["weights"]
    return [pair.fixed, pair.moving, *([Path(weights)] if weights else sorted(MODELS.iterdir()))]


def case_outputs(folder: Path, names: Names = usual_names) -> list[Path]:
    """Return the files that `run_case` writes, without the scene, once they have moved into `folder`."""
    return [folder / name for name in asdict(names).values()]


def run_case(
    pair: "Pair",
    choices: dict[str, Any],
    folder: Path,
    names: Names = usual_names,
    landmarks: Sequence[Path] = (),
    with_scene: bool = False,
    progress: "Progress | None" = None,
) -> tuple["sitk.Image", "Result"]:
    """Align and fuse a pair in a scene of its own; write the results to a folder of `written_whole`.

    Written are the files of `names` (the preview where the machine can draw) and, if asked for, the scene as scene.mrb.
    landmarks: none, or two files of the same points, on the fixed and on the moving volume; the report then tells
    their distances. What DICOM says of the volumes goes into the metadata of those that are written, and into the
    report; that also tells where other files are, as seen from the folder that the results move into. Returns the fixed
    volume and the result. FusionError for what the user can mend.
    """
    # Imported here so that --help is quick.
    from trame_slicer.core import SlicerApp

    from BSAFusionLib.files.inputs import read_pair
    from BSAFusionLib.files.volumes import write_transform, write_volume
    from BSAFusionLib.mrml.landmarks import read_landmarks
    from BSAFusionLib.mrml.logic import BSAFusionLogic
    from BSAFusionLib.mrml.rendering import CannotDraw, write_preview
    from BSAFusionLib.mrml.scene import content_from_image, put_volume, save_scene

    fixed, moving = read_pair(pair)
    application = SlicerApp()
    fixed_node = put_volume(application.scene, content_from_image(fixed.image), fixed.name)
    moving_node = put_volume(application.scene, content_from_image(moving.image), moving.name)
    logic = BSAFusionLogic()
    roles = ("fixedLandmarks", "movingLandmarks")[: len(landmarks)]
    points = {role: read_landmarks(application.scene, path) for role, path in zip(roles, landmarks, strict=True)}
    job = logic.prepare(fixed_node, moving_node, modality=moving.modality, **by_slicers_names(choices), **points)
    computed = logic.compute(job, progress)
    report = computed.report
    remarks = tuple(remark for remark in (fixed.remark, moving.remark) if remark)
    report = replace(report, warnings=(*remarks, *report.warnings))
    result = replace(computed.result, report=report)
    nodes = logic.fill(job, replace(computed, report=report))

    place = {key: fixed.metadata[key] for key in ("FrameOfReferenceUID",) if fixed.metadata}
    unit = {key: moving.metadata[key] for key in ("Unit",) if moving.metadata}
    write_volume(_with_metadata(result.fused, place), folder / names.fused)
    write_volume(_with_metadata(result.registered, {**place, **unit}), folder / names.registered)
    write_transform(result.transform(), folder / names.deformation)
    sources = {role: given.metadata for role, given in (("fixed", fixed), ("moving", moving)) if given.metadata}
    # DICOM is known by its tags alone: its folder may be called after the patient.
    paths = {role: path for role, path in (("fixed", pair.fixed), ("moving", pair.moving)) if role not in sources}
    content = {
        **report.as_dict(),
        "files": asdict(names),
        "inputs": {role: path_from(folder.parent, path) for role, path in paths.items()},
        **({"dicom": sources} if sources else {}),
    }
    write_json(content, folder / names.report)
    (folder / names.page).write_text(nodes.page(), encoding="utf-8")
    if with_scene:
        save_scene(application.scene, folder / scene_name)
    try:
        write_preview(
            folder / names.preview,
            application,
            fixed_node,
            moving_node,
            nodes.registeredVolume,
            nodes.fusedVolume,
            nodes.gridTransform,
        )
    except CannotDraw as error:  # a machine that cannot draw still gets everything else
        print(error, file=sys.stderr)
    application.scene.Clear(True)  # the views' observers keep the scene; it must not keep the volumes
    return fixed.image, result


def by_slicers_names(choices: dict[str, Any]) -> dict[str, Any]:
    """Return choices by the logic's names: slice_axis becomes sliceAxis."""
    words = ((name.split("_"), value) for name, value in choices.items())
    return {first + "".join(map(str.capitalize, rest)): value for (first, *rest), value in words}


def path_from(folder: Path, path: Path) -> str:
    """Where a file is, seen from a folder; its full path where that is on another drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def write_json(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_json(content: dict, path: Path) -> None:
    """Write a --json file where a user asked for it, whole or not at all."""
    from BSAFusionLib.files.volumes import written_whole

    with written_whole(path.parent) as folder:
        write_json(content, folder / path.name)


def report_text(report: "Report") -> str:
    """The report as a person reads it, a figure a line."""
    from BSAFusionLib.pipeline.report import rows

    lines = rows(report.as_dict()) + [("Warning", warning) for warning in report.warnings]
    return "\n".join(line(name, figure) for name, figure in lines)


def line(name: str, figure: str) -> str:
    """One line of such a report."""
    return f"{name:<28}{figure}"


@contextmanager
def progress_bar() -> Iterator["Progress"]:
    """A bar on stderr for the whole job; what it yields is told the stage, the fraction done, and the slices."""
    from tqdm import tqdm

    with tqdm(total=1.0, bar_format="{desc:<24} {percentage:3.0f} %|{bar:30}| {elapsed}") as bar:

        def progress(stage: str, fraction: float, slices: "Slices") -> None:
            count = "" if slices is None else f", slice {slices[0]} of {slices[1]}"
            bar.set_description_str(stage + count, refresh=False)
            bar.update(fraction - bar.n)

        yield progress


def _with_metadata(image: "sitk.Image", metadata: dict[str, str]) -> "sitk.Image":
    """The image with these texts besides; its voxels are not copied."""
    import SimpleITK as sitk

    image = sitk.Image(image)
    for key, text in metadata.items():
        image.SetMetaData(key, text)
    return image
