"""One case on the command line: two files into a scene, through the logic, and what comes out into a folder."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.errors import FusionError
from BSAFusionLib.settings import Settings, slice_axes

if TYPE_CHECKING:
    import SimpleITK as sitk

    from BSAFusionLib.pipeline import Progress, Slices
    from BSAFusionLib.report import Report
    from BSAFusionLib.result import Result


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
        help="sigma of the field's smoothing through the slices (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="SHARE",
        default=Settings.strength,
        help="of the network's field that is followed, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--no-fold-free",
        dest="fold_free",
        action="store_false",
        default=Settings.fold_free,
        help="leave the network's field as it is where it folds space (default: it is damped there)",
    )
    parser.add_argument("--device", default=Settings.device, help="auto, cpu, cuda, cuda:0, mps (default: auto)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="slices in one pass of the network")
    parser.add_argument("--weights", metavar="FILE", help="a checkpoint (default: the shipped one for the modality)")


def run_case(
    fixed: Path, moving: Path, modality: str, arguments: argparse.Namespace, folder: Path, with_scene: bool = False
) -> tuple["sitk.Image", "Result"]:
    """Align and fuse two files in a scene of their own; write the results to an existing folder.

    Written are fused.nrrd, registered.nrrd, deformation.h5, report.json, report.html, preview.png (where the machine
    can draw) and, if asked for, the scene as scene.mrb. Returns the fixed volume and the result. FusionError for what
    the user can mend.
    """
    # Imported here so that --help is quick.
    from trame_slicer.core import SlicerApp

    from BSAFusionLib.files import read_volume, write_transform, write_volume
    from BSAFusionLib.logic import BSAFusionLogic
    from BSAFusionLib.rendering import write_preview
    from BSAFusionLib.scene import content_from_image, put_volume, save_scene

    fixed_image, moving_image = read_volume(fixed), read_volume(moving)
    application = SlicerApp()
    fixed_node = put_volume(application.scene, content_from_image(fixed_image), _name(fixed))
    moving_node = put_volume(application.scene, content_from_image(moving_image), _name(moving))
    logic = BSAFusionLogic()
    job = logic.prepare(
        fixed_node,
        moving_node,
        modality=modality,
        prealignment=arguments.prealignment,
        sliceAxis=arguments.axis,
        ctWindow=tuple(arguments.ct_window) if arguments.ct_window else None,
        device=arguments.device,
        batchSize=arguments.batch_size,
        throughPlaneSmoothing=arguments.smoothing,
        strength=arguments.strength,
        foldFree=arguments.fold_free,
        weights=arguments.weights,
    )
    with _progress_bar() as progress:
        computed = logic.compute(job, progress)
    nodes = logic.fill(job, computed)
    result = computed.result

    write_volume(result.fused, folder / "fused.nrrd")
    write_volume(result.registered, folder / "registered.nrrd")
    write_transform(result.transform(), folder / "deformation.h5")
    write_json(result.report.as_dict(), folder / "report.json")
    (folder / "report.html").write_text(nodes.page(), encoding="utf-8")
    if with_scene:
        save_scene(application.scene, folder / "scene.mrb")
    try:
        write_preview(
            folder / "preview.png",
            application,
            fixed_node,
            moving_node,
            nodes.registeredVolume,
            nodes.fusedVolume,
            nodes.gridTransform,
        )
    except FusionError as error:  # a machine that cannot draw still gets everything else
        print(error, file=sys.stderr)
    return fixed_image, result


def write_json(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_json(content: dict, path: Path) -> None:
    """Write a --json file where a user asked for it, whole or not at all."""
    from BSAFusionLib.files import written_whole

    with written_whole(path.parent) as folder:
        write_json(content, folder / path.name)


def report_text(report: "Report") -> str:
    """The report as a person reads it, a figure a line."""
    lines = [
        ("modality", report.modality),
        ("start", report.prealignment),
        (
            "mutual information",
            f"{report.mutual_information_before:.3f} as placed, {report.mutual_information_prealigned:.3f} at the "
            f"start, {report.mutual_information_after:.3f} after all",
        ),
        *(
            (name, f"mean {lengths.mean:.2f}, 95 % {lengths.percentile_95:.2f}, largest {lengths.maximum:.2f} mm")
            for name, lengths in (
                ("displacement", report.displacement),
                ("  by the network", report.network_displacement),
            )
        ),
        ("smallest Jacobian", f"{report.smallest_jacobian:.3f}, {report.percent_folded:.3f} % of voxels folded"),
        ("slices", f"{report.slices} on {report.device}, weights {report.weights}"),
        ("seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items())),
    ]
    lines += [("warning", warning) for warning in report.warnings]
    return "\n".join(f"{name:<19}{value}" for name, value in lines)


@contextmanager
def _progress_bar() -> Iterator["Progress"]:
    """A bar on stderr for the whole job; what it yields is told the stage, the fraction done, and the slices."""
    from tqdm import tqdm

    with tqdm(total=1.0, bar_format="{desc:<24} {percentage:3.0f} %|{bar:30}| {elapsed}") as bar:

        def progress(stage: str, fraction: float, slices: "Slices") -> None:
            count = "" if slices is None else f", slice {slices[0]} of {slices[1]}"
            bar.set_description_str(stage + count, refresh=False)
            bar.update(fraction - bar.n)

        yield progress


def _name(path: Path) -> str:
    """A file's name without its extension, .nii.gz being one."""
    return Path(path.name.removesuffix(".gz")).stem
