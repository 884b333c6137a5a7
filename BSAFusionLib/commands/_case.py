"""One case on the command line: two files into a scene, through the logic, and what comes out into a folder."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BSAFusionLib.files.outputs import Names
from BSAFusionLib.settings import Settings, precisions, slice_axes

if TYPE_CHECKING:
    import SimpleITK as sitk

    from BSAFusionLib.files.inputs import Pair
    from BSAFusionLib.pipeline.register_and_fuse import Progress, Slices
    from BSAFusionLib.pipeline.report import Report
    from BSAFusionLib.pipeline.result import Result

usual_names = Names()
scene_name = "scene.mrb"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The choices of one run, as options; they are those of Settings."""
    parser.add_argument(
        "--prealignment", choices=("rigid", "none"), default=Settings.prealignment, help="the start (default: rigid)"
    )
    parser.add_argument(
        "--axis", choices=slice_axes, default=Settings.slice_axis, help="index axis of FIXED to cut slices across"
    )
    parser.add_argument(
        "--ct-window", nargs=2, type=float, metavar=("CENTRE", "WIDTH"), help="in HU (default: a brain window)"
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        metavar="MM",
        default=Settings.through_plane_smoothing,
        help="with --one-axis: sigma of the field's smoothing through the slices (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="SHARE",
        default=Settings.strength,
        help="of the network's field that is followed, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--one-axis",
        dest="three_axes",
        action="store_false",
        default=Settings.three_axes,
        help="register slices of that axis only (default: also of the others, where they are fine enough)",
    )
    parser.add_argument(
        "--refine",
        action="store_true",
        default=Settings.refine,
        help="register every slice mirrored, too: twice the time for a little less error",
    )
    parser.add_argument(
        "--no-check",
        dest="do_no_harm",
        action="store_false",
        default=Settings.do_no_harm,
        help="follow all of the network's field (default: a growth or shrinking of the whole head is taken out, "
        "displacements longer than it was trained on are cut, and the rest is followed as far as it raises the mutual "
        "information by more than a price for its size; in slices in which that and the agreement of the network's "
        "features fall, less far)",
    )
    parser.add_argument(
        "--no-fold-free",
        dest="fold_free",
        action="store_false",
        default=Settings.fold_free,
        help="leave the network's field as it is where it folds space (default: it is damped there)",
    )
    parser.add_argument("--device", default=Settings.device, help="auto, cpu, cuda, cuda:0, mps (default: auto)")
    add_precision(parser)
    parser.add_argument("--batch-size", type=int, metavar="N", help="slices in one pass of the network")
    parser.add_argument("--weights", metavar="FILE", help="a checkpoint (default: the shipped one for the modality)")


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=precisions,
        default=Settings.precision,
        help="of the network's layers; bfloat16 is faster where the device does it by itself (default: float32)",
    )


def choices_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of add_settings, by the names that the logic knows them by."""
    return {
        "prealignment": arguments.prealignment,
        "sliceAxis": arguments.axis,
        "ctWindow": tuple(arguments.ct_window) if arguments.ct_window else None,
        "device": arguments.device,
        "precision": arguments.precision,
        "batchSize": arguments.batch_size,
        "throughPlaneSmoothing": arguments.smoothing,
        "strength": arguments.strength,
        "threeAxes": arguments.three_axes,
        "refine": arguments.refine,
        "doNoHarm": arguments.do_no_harm,
        "foldFree": arguments.fold_free,
        "weights": arguments.weights,
    }


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
    job = logic.prepare(fixed_node, moving_node, modality=moving.modality, **choices, **points)
    computed = logic.compute(job, progress)
    report = computed.result.report
    remarks = tuple(remark for remark in (fixed.remark, moving.remark) if remark)
    report = replace(report, warnings=(*remarks, *report.warnings))
    result = replace(computed.result, report=report)
    nodes = logic.fill(job, replace(computed, result=result))

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
