"""Carry other images, label maps, points and models through a transform onto the fixed volume."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._progress import say
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.files.texts import write_json
from BSAFusionLib.modalities import MODALITIES, MRI
from BSAFusionLib.pipeline.summary import doubt_of

if TYPE_CHECKING:
    import numpy as np
    import SimpleITK as sitk

    from BSAFusionLib.files.inputs import Input

NIFTI_SUFFIXES = (".nii", ".nii.gz")
# That pathlib would cut in two.
SUFFIXES = (".nii.gz", ".nii.bz2", ".hdr.gz", ".img.gz", ".mrk.json", ".seg.nrrd")
EVERY = (MRI, *MODALITIES)
WAYS = {"linear": "linearly", "nearest": "to the nearest voxel", "bspline": "by B-splines"}
UNREACHED_MM = 0.01  # farther from its origin, a point has none

Move = Callable[["np.ndarray"], "np.ndarray"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "transform", type=Path, metavar="TRANSFORM", help="deformation.h5 of a result, or another .h5 or .tfm file"
    )
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="volumes, label maps (or DICOM folders), points (.mrk.json, .fcsv) or models (.vtp, .stl) to carry",
    )
    parser.add_argument(
        "--reference", type=Path, metavar="IMAGE", help="volume whose grid images get: FIXED, with --inverse MOVING"
    )
    for option, what in (("--series", "the only DICOM among the images"), ("--reference-series", "the reference")):
        parser.add_argument(
            option, metavar="UID", help=f"UID of the series of {what}, where its DICOM folder holds several"
        )
    parser.add_argument(
        "--inverse", action="store_true", help="carry from the fixed volume to the moving one, not onto the fixed one"
    )
    parser.add_argument(
        "--interpolation",
        choices=("linear", "nearest", "bspline"),
        help="interpolation of images (default: linear, nearest for label maps)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE or FOLDER",
        help="file or folder to write; a folder unless it has the ending of the only IMAGE, or of a volume if that is "
        "DICOM (default: NAME_applied beside each)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from BSAFusionLib.files.atomic import written_whole
    from BSAFusionLib.files.models import MODEL_SUFFIXES, move_model
    from BSAFusionLib.files.overwriting import files_written, refuse_overwriting
    from BSAFusionLib.files.points import POINT_SUFFIXES, move_points
    from BSAFusionLib.files.transforms import read_transform

    _check_series(arguments)
    results = [_result(path, arguments.out, len(arguments.images)) for path in arguments.images]
    paths = list(zip(arguments.images, results, strict=True))
    sidecars = [_sidecar(result) for path, result in paths if _may_have_frames(path)]
    written = [file for result in results for file in files_written(result)]
    refuse_overwriting([arguments.transform, arguments.reference, *arguments.images], [*written, *sidecars])
    transform = read_transform(arguments.transform)
    if doubt := _doubt_of_result(arguments.transform):
        say(f"{arguments.transform.name} belongs to a doubtful result. {doubt}")
    move = _mover(transform, arguments.inverse)
    resample = None
    for path, result in paths:
        with written_whole(result.parent) as folder:
            if path.name.lower().endswith(POINT_SUFFIXES):
                move_points(path, folder / result.name, move)
            elif path.suffix.lower() in MODEL_SUFFIXES:
                move_model(path, folder / result.name, move)
            else:
                resample = resample or _resampler(transform, arguments)
                resample(path, folder / result.name)
        print(result)
    return 0


def _doubt_of_result(transform: Path) -> str:
    """Return the doubt of the result that a transform belongs to; "" without one, and where no report lists it."""
    for path in sorted(transform.parent.glob(f"*{Names.report}")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            if transform.name in report["files"].values():
                return doubt_of(report)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a file of another program
            continue
    return ""


def _mover(transform: "sitk.Transform", inverse: bool) -> Move:
    """Return what carries points the way that images go: a resampled image shows at x what lay at transform(x)."""
    from BSAFusionLib.geometry.inverse import carry_points, carry_points_back

    def onto_fixed(points: "np.ndarray") -> "np.ndarray":
        found, missing = carry_points_back(transform, points)
        if (unreached := int((missing > UNREACHED_MM).sum())) > 0:
            raise FusionError(
                f"{unreached} of {len(points)} points cannot be carried onto the fixed volume, since the transform "
                "folds there; leave them out, or register again with the removal of folds."
            )
        return found

    return (lambda points: carry_points(transform, points)) if inverse else onto_fixed


def _resampler(transform: "sitk.Transform", arguments: argparse.Namespace) -> Callable[[Path, Path], None]:
    """Return what resamples a volume from a file onto the reference and writes it."""
    import numpy as np
    import SimpleITK as sitk

    from BSAFusionLib.files.dicom.recognize import is_dicom_path
    from BSAFusionLib.files.segmentations import is_segmentation, keep_segments
    from BSAFusionLib.files.volumes import write_volume
    from BSAFusionLib.geometry.fields import resample_through
    from BSAFusionLib.geometry.inverse import invert

    if arguments.reference is None:
        role = "MOVING" if arguments.inverse else "FIXED"
        raise FusionError(f"Images need a grid; give the volume {role} of the registration as --reference.")
    reference = _read_reference(arguments).image
    through = invert(transform) if arguments.inverse else transform
    interpolators = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline}

    def resample(path: Path, result: Path) -> None:
        volume = _read(path, EVERY, arguments.series if is_dicom_path(path) else None)
        interpolation, reason = _interpolation(path, volume, arguments.interpolation)
        if interpolation == "bspline" and volume.image.GetNumberOfComponentsPerPixel() > 1:
            raise FusionError(f"The volume {path} is in color, which B-splines cannot be; choose linear or nearest.")
        if interpolation == "bspline" and not np.isfinite(sitk.GetArrayViewFromImage(volume.image)).all():
            raise FusionError(
                f"Some voxels of {path} are not finite, which B-splines would spread; choose linear or nearest."
            )
        name = f"The {volume.name}" if volume.metadata else path.name  # a DICOM folder may be named after the patient
        say(f"{name} is resampled {WAYS[interpolation]}, {reason}.")
        if volume.frames is None:
            resampled = resample_through(volume.image, reference, through, interpolators[interpolation])
            if is_segmentation(path) and is_segmentation(result):
                keep_segments(volume.image, resampled)
            write_volume(resampled, result)
            return
        if not result.name.endswith(NIFTI_SUFFIXES):
            raise FusionError(
                f"A volume has {len(volume.frames.images)} frames, which only a NIfTI can hold here; give a file that "
                "ends in .nii.gz as --out."
            )
        volume.frames.write_carried(result, reference, through, interpolators[interpolation])
        times = volume.frames.times()
        del times["RegisteredFrames"]  # none is here
        write_json(times, _sidecar(result))

    return resample


def _check_series(arguments: argparse.Namespace) -> None:
    """Raise FusionError where a series is chosen that would be ignored, or of several images."""
    from BSAFusionLib.files.dicom.recognize import is_dicom_path

    dicom = [path for path in arguments.images if is_dicom_path(path)]
    if arguments.series and len(dicom) != 1:
        raise FusionError(
            f"--series applies to one DICOM image, but {len(dicom)} are given; "
            + ("carry each by itself." if dicom else "omit it.")
        )
    reference = arguments.reference
    if arguments.reference_series and (reference is None or (reference.is_file() and not is_dicom_path(reference))):
        given = "no --reference is given" if reference is None else f"{reference.name} is not DICOM"
        raise FusionError(f"--reference-series applies to a DICOM --reference only, but {given}; omit it.")


def _read_reference(arguments: argparse.Namespace) -> "Input":
    """Return the reference; of a study's folder the MRI, with --inverse what is no MRI, unless a series is named."""
    from BSAFusionLib.errors import ExchangedRoles

    preferred = tuple(MODALITIES) if arguments.inverse else (MRI,)
    if arguments.reference_series is None:
        try:
            return _read(arguments.reference, preferred)
        except ExchangedRoles:  # a folder of the others alone
            pass
    return _read(arguments.reference, EVERY, arguments.reference_series)


def _read(path: Path, wanted: tuple[str, ...], series: str | None = None) -> "Input":
    """Return the volume of a file or DICOM folder with all its frames, and say what is odd about the file.

    Args:
        path: A file, or a DICOM folder.
        wanted: Modalities that a DICOM series may have.
        series: Series Instance UID of the one to take, or None.
    """
    from BSAFusionLib.files.dynamic import is_dynamic, read_dynamic
    from BSAFusionLib.files.inputs import Input, read_input
    from BSAFusionLib.settings import AUTO

    if is_dynamic(path):
        mean, frames = read_dynamic(path, None)
        volume = Input(mean.image, path.name, AUTO, {}, mean.remarks, label_map=mean.label_map, frames=frames)
    else:
        volume = read_input(path, wanted, series, AUTO)
    for remark in volume.remarks:
        say(remark)
    return volume


def _interpolation(path: Path, volume: "Input", chosen: str | None) -> tuple[str, str]:
    """Return the interpolation of an image, and why it is taken, as the end of a sentence."""
    from BSAFusionLib.files.segmentations import is_segmentation

    if chosen is not None:
        return chosen, "as --interpolation says"
    if is_segmentation(path):
        return "nearest", "since it is a segmentation"
    if volume.label_map:
        return "nearest", "since its header calls it a label map"
    if _looks_like_labels(volume):
        return "nearest", "since its values look like those of a label map"
    return "linear", "since its values do not look like those of a label map"


def _looks_like_labels(volume: "Input") -> bool:
    """Tell whether the values of a volume look like labels; of one with frames those of each that is not empty."""
    import SimpleITK as sitk

    from BSAFusionLib.pipeline.guess import looks_like_labels

    images = (volume.image,) if volume.frames is None else volume.frames.images
    views = (sitk.GetArrayViewFromImage(image) for image in images)
    return all(looks_like_labels(voxels) for voxels in views if voxels.min() != voxels.max())


def _may_have_frames(path: Path) -> bool:
    """Tell whether a volume may have frames, whose times are written beside it."""
    from BSAFusionLib.files.dicom.recognize import is_dicom_path
    from BSAFusionLib.files.dynamic import is_dynamic

    return is_dynamic(path) or is_dicom_path(path)


def _sidecar(result: Path) -> Path:
    """Return where the times of the frames of a result are written."""
    from BSAFusionLib.files.sidecars import volume_stem

    return result.with_name(f"{volume_stem(result)}.json")


def _result(path: Path, out: Path | None, count: int) -> Path:
    """Return where the result of an image is written.

    Raises:
        FusionError: It is to be a file of a format that cannot be written, or one file for several images.
    """
    path = path.resolve() if path.name in ("", "..") else path  # a folder by no name of its own
    given = "" if path.is_dir() else next((each for each in SUFFIXES if path.name.lower().endswith(each)), path.suffix)
    given = path.name[len(path.name) - len(given) :]  # with its capitals
    stem = path.name.removesuffix(given) or path.name
    ending, accepted = _endings(path, given)
    if out is None:
        return path.parent / f"{stem}_applied{ending}"
    if not out.is_dir():
        if count == 1 and out.name.endswith(accepted):
            return out
        _check_folder_name(out, given, ending, count)
    return out / f"{stem}{ending}"


def _check_folder_name(out: Path, given: str, ending: str, count: int) -> None:
    """Check that the name of a new folder is not that of a file.

    Args:
        out: The folder.
        given: The ending of an image's name.
        ending: That of its result.
        count: How many images are carried.

    Raises:
        FusionError: It has the ending of a file.
    """
    from BSAFusionLib.files.inputs import VOLUME_SUFFIXES
    from BSAFusionLib.files.models import MODEL_SUFFIXES
    from BSAFusionLib.files.points import POINT_SUFFIXES

    name = out.name.lower()
    if not name.endswith((*VOLUME_SUFFIXES, *SUFFIXES, *POINT_SUFFIXES, *MODEL_SUFFIXES, ".img", ".json")) and not (
        given and out.name.endswith(given)
    ):
        return
    if count > 1:
        raise FusionError(f"{out.name} is the name of a file, but {count} images are given; give a folder as --out.")
    if name.endswith((given.lower() or ending, ending.lower())):
        raise FusionError(f"{out.name} has an ending that cannot be written; give one in {ending} as --out.")
    raise FusionError(f"{out.name} has another ending than the result; give one in {ending}, or a folder, as --out.")


def _endings(path: Path, given: str) -> tuple[str, tuple[str, ...]]:
    """Return the ending of an image's result, and those that a file given as --out may have.

    Args:
        path: The image.
        given: The ending of its name: kept where a result can have it, in small letters, as ITK knows volumes by.
    """
    from BSAFusionLib.files.dicom.recognize import is_dicom_path
    from BSAFusionLib.files.dynamic import is_dynamic
    from BSAFusionLib.files.inputs import VOLUME_SUFFIXES
    from BSAFusionLib.files.models import MODEL_SUFFIXES
    from BSAFusionLib.files.points import POINT_SUFFIXES

    if given.lower() in (*POINT_SUFFIXES, *MODEL_SUFFIXES):
        return given, (given, given.lower())
    ending = given.lower()
    if ending.endswith((*VOLUME_SUFFIXES, ".img")) and not is_dicom_path(path):
        return ending, (ending,)
    return ".nii.gz" if is_dynamic(path) else ".nrrd", VOLUME_SUFFIXES
