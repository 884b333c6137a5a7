"""Register and fuse the sample MRI and PET, and measure the true error."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import (
    DEFAULT_NAMES,
    FinishedCase,
    case_inputs,
    case_outputs,
    earlier_names,
    list_in_report,
    run_case,
    save_json,
)
from BSAFusionLib.commands._extras import require_extra
from BSAFusionLib.commands._options import add_running, add_settings, check_count, choices_of, use_threads
from BSAFusionLib.commands._progress import progress_bar
from BSAFusionLib.files.outputs import SCENE
from BSAFusionLib.pipeline.summary import line

if TYPE_CHECKING:
    from BSAFusionLib.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results", "demo"),
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the true error and the report to this file"
    )
    add_running(parser, "all")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    import SimpleITK as sitk

    from BSAFusionLib.files.atomic import written_whole
    from BSAFusionLib.files.inputs import Pair
    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionLib.geometry.fields import error_mm
    from BSAFusionLib.pipeline.intensities import head_mask
    from BSAFusionLib.resources import SAMPLE_DATA
    from BSAFusionLib.settings import Settings

    check_count("--threads", arguments.threads)
    require_extra("scene", ("slicer", "trame_slicer"))  # before the long computation
    pair = Pair(SAMPLE_DATA / "mri_t1.nii.gz", SAMPLE_DATA / "pet_fdg.nii.gz", "pet")
    choices, truth_file = choices_of(arguments), SAMPLE_DATA / "truth.h5"
    refuse_overwriting(
        [*case_inputs(pair, choices), truth_file],
        [*case_outputs(arguments.out), arguments.json],
    )
    use_threads(arguments.threads)
    replaced = earlier_names(arguments.out)
    with written_whole(arguments.out, replaced) as folder, progress_bar(arguments.quiet) as progress:
        finished = run_case(pair, choices, folder, progress=progress, begun=arguments.begun)
        _write_scene(finished, Settings(modality=finished.moving.modality, **choices), folder)
        list_in_report(folder, "scene", SCENE)
    fixed, result = finished.fixed.image, finished.case.result
    truth = sitk.ReadTransform(str(truth_file))
    transforms = {
        "before": sitk.Transform(),
        "prealigned": result.prealignment,
        "after": result.transform(),
    }
    head = head_mask(fixed)
    errors = {name: error_mm(transform, truth, head) for name, transform in transforms.items()}

    print(result.report)
    print(line("True error", ", ".join(f"{name} {error:.2f}" for name, error in errors.items()) + " mm"))
    print("The sample MRI is an average of many brains; the expected error, fitted on persons, is too small for it.")
    print(f"results in {arguments.out}")
    if arguments.json:
        save_json({"true_error_mm": errors, "report": result.report.as_dict()}, arguments.json, arguments.out)
    return 0


def _write_scene(finished: FinishedCase, settings: "Settings", folder: Path) -> None:
    """Fill and save a scene with a finished case, and draw the preview with Slicer's slice view if possible."""
    from trame_slicer.core import SlicerApp

    from BSAFusionLib.mrml.convert import content_from_image
    from BSAFusionLib.mrml.display import add_slice_views, link_and_fit
    from BSAFusionLib.mrml.logic import BSAFusionLogic
    from BSAFusionLib.mrml.nodes import put_volume
    from BSAFusionLib.mrml.rendering import CannotDraw, write_preview
    from BSAFusionLib.mrml.scene import save_scene

    application = SlicerApp()
    add_slice_views(application.app_logic, application.scene)
    fixed, moving = (
        put_volume(application.scene, content_from_image(volume.image), volume.name)
        for volume in (finished.fixed, finished.moving)
    )
    logic = BSAFusionLogic()
    job = logic.prepare(fixed, moving, modality=settings.modality)
    nodes = logic.fill(job, logic.computed(job, finished.case.outcome()))
    link_and_fit(application.app_logic, fixed)
    save_scene(application.scene, folder / SCENE)
    try:
        write_preview(folder / DEFAULT_NAMES.preview, application, (fixed, moving), nodes)
    except CannotDraw as error:  # the preview of the report remains
        print(error, file=sys.stderr)
