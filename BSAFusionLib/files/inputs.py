"""The two volumes of a case, read from files or from DICOM series."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import ExchangedRoles, FusionError
from BSAFusionLib.files.dicom.recognize import is_dicom_path
from BSAFusionLib.files.dynamic import Frames, is_dynamic, read_dynamic
from BSAFusionLib.files.outputs import UNIT_KEY
from BSAFusionLib.files.sidecars import unread_sidecars, volume_stem
from BSAFusionLib.files.stated_modality import named_modality, sounds_like_mri, stated_modality, stated_unit
from BSAFusionLib.files.volumes import load_volume
from BSAFusionLib.modalities import MODALITIES, MRI, listed
from BSAFusionLib.pipeline.intensities import guess_modality
from BSAFusionLib.pipeline.roles import in_hounsfield_units
from BSAFusionLib.settings import AUTO

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
MOST_LISTED = 5  # files in a message


@dataclass(frozen=True)
class Pair:
    """Paths of the two volumes of a case.

    Attributes:
        fixed: The MRI: a NIfTI, NRRD or MetaImage file, or a DICOM folder or file.
        moving: The moving volume, likewise.
        modality: Modality of the moving volume; "auto" goes by the DICOM tags, the sidecar or the BIDS name, else by
            the intensities and the file's name.
        fixed_series: Series Instance UID, where a DICOM folder holds more than one series of the kind.
        moving_series: Likewise, of the moving volume.
        fixed_mask: A label map in the space of the fixed volume, if any: where to look.
        frames: Frames of a dynamic moving volume whose mean is registered, counted from 1: "3-8,12"; None for all.
    """

    fixed: Path
    moving: Path
    modality: str = "auto"
    fixed_series: str | None = None
    moving_series: str | None = None
    fixed_mask: Path | None = None
    frames: str | None = None

    def paths(self) -> dict[str, Path]:
        """Return the paths that are given, by their roles."""
        paths = {"fixed": self.fixed, "moving": self.moving, "fixed_mask": self.fixed_mask}
        return {role: path for role, path in paths.items() if path is not None}


@dataclass(frozen=True)
class Input:
    """A volume as it was read.

    Attributes:
        image: The voxels in space, mm, LPS.
        name: Name of the volume in titles and scenes.
        modality: A name in `MODALITIES`, or "mri".
        metadata: DICOM texts for outputs on its grid: FrameOfReferenceUID, SeriesInstanceUID, Modality, Unit; empty for
            other files.
        remarks: What the user should know about the file, a sentence each.
        placed: Whether the file says how the head lies in it.
        label_map: Whether the file says that it is a label map.
        frames: Of a dynamic volume; `image` is the mean of some of them.
        unit: Of the values, as DICOM, a sidecar or the header of an NRRD states it; "" where nothing does.
    """

    image: sitk.Image
    name: str
    modality: str
    metadata: dict[str, str]
    remarks: tuple[str, ...] = ()
    placed: bool = True
    label_map: bool = False
    frames: Frames | None = None
    unit: str = ""


def read_pair(pair: Pair) -> tuple[Input, Input]:
    """Read the fixed and the moving volume of a case.

    Raises:
        FusionError: A volume cannot be read, or is not of the modality that is wanted.
    """
    if _same_file(pair):
        raise FusionError(
            f"The fixed and the moving volume are the same file, {pair.fixed}; give the MRI "
            "first and the other scan second."
        )
    _check_series(pair)
    moving_sounds = _check_stated_roles(pair)
    fixed = read_input(pair.fixed, ("mri",), pair.fixed_series, "mri")
    moving = read_moving(pair.moving, pair.modality, pair.moving_series, pair.frames)
    if pair.frames and moving.frames is None:
        raise FusionError(
            "The moving volume has no frames to choose from: it is no NIfTI with a time axis and no dynamic DICOM "
            "series. Omit --frames."
        )
    if moving.frames is not None:
        name = f"The {moving.name}'s DICOM series" if moving.metadata else pair.moving.name
        moving = replace(moving, remarks=(moving.frames.remark(name), *moving.remarks))
    for path, volume in ((pair.fixed, fixed), (pair.moving, moving)):
        if volume.label_map:
            raise FusionError(
                f"The file {path} is a label map by its header; register the scan that it was drawn on, and carry it "
                "along with: run.py apply"
            )
    if moving.modality == AUTO:
        moving = _guessed(moving, pair.moving)
    return fixed, replace(moving, remarks=(*moving_sounds, *moving.remarks))


def read_moving(path: Path, modality: str, series: str | None, frames: str | None) -> Input:
    """Read the moving volume of a case; of a dynamic one the mean of the chosen frames, and all frames.

    Args:
        path: A file, or a DICOM folder.
        modality: As in `Pair`.
        series: Series Instance UID of the one to take, or None.
        frames: As in `Pair`; ignored where the volume has none.

    Raises:
        FusionError: It cannot be read, or has no such series or frames.
    """
    known = _known_modality(path, modality)
    if is_dynamic(path):
        return _read_dynamic(path, known, frames)
    return read_input(path, tuple(MODALITIES) if modality == AUTO else (modality,), series, known, frames)


def read_input(
    path: Path, wanted: tuple[str, ...], series: str | None, modality: str, frames: str | None = None
) -> Input:
    """Read one volume.

    Args:
        path: A file, or a DICOM folder.
        wanted: Modalities that a DICOM series may have.
        series: Series Instance UID of the one to take, or None.
        modality: Modality of a file that is no DICOM, which does not say.
        frames: Frames of a dynamic DICOM series to take the mean of, as in `Pair`.

    Raises:
        FusionError: It cannot be read, or holds no such series.
    """
    try:
        _check_no_folder_of_volumes(path)
        if not is_dicom_path(path):
            volume = load_volume(path)
            remarks = (*unread_sidecars(path), *volume.remarks)
            known = Input(volume.image, _shown_name(path), modality, {}, remarks, unit=_unit_of(path, volume.image))
            return replace(known, placed=volume.placed, label_map=volume.label_map)
        from BSAFusionLib.files.dicom.scan import read_scan  # here, since it imports pydicom

        scan = read_scan(path, wanted, series, frames)
    except OSError as error:
        role = "fixed" if modality == "mri" else "moving"
        raise FusionError(f"The {role} volume cannot be read ({error.strerror}); see that you may open it.") from error
    metadata = {
        "FrameOfReferenceUID": scan.frame_of_reference_uid,
        "SeriesInstanceUID": scan.series_uid,
        "Modality": scan.modality,
        UNIT_KEY: scan.unit,
    }
    # Called by its modality: the folder may well be called after the patient.
    return Input(
        scan.image,
        scan.modality.upper(),
        scan.modality,
        metadata,
        scan.remarks,
        scan.placed,
        frames=scan.frames,
        unit=scan.unit,
    )


def _read_dynamic(path: Path, modality: str, chosen: str | None) -> Input:
    try:
        mean, frames = read_dynamic(path, chosen)
    except OSError as error:
        raise FusionError(f"The moving volume cannot be read ({error.strerror}); see that you may open it.") from error
    name, unit = _shown_name(path), stated_unit(path)
    return Input(mean.image, name, modality, {}, mean.remarks, mean.placed, mean.label_map, frames, unit)


def _unit_of(path: Path, image: sitk.Image) -> str:
    """Return the unit of a file that is no DICOM: by its sidecar, else by its own header, as our results have it."""
    in_header: str = image.GetMetaData(UNIT_KEY) if image.HasMetaDataKey(UNIT_KEY) else ""
    return stated_unit(path) or in_header


def _shown_name(path: Path) -> str:
    return volume_stem(path).encode("utf-8", "backslashreplace").decode()


def _known_modality(path: Path, modality: str) -> str:
    """Return the moving volume's modality: the one that the user gave, or that its sidecars or BIDS name state."""
    if modality != AUTO or is_dicom_path(path):
        return modality
    return stated_modality(path) or AUTO


def _guessed(volume: Input, path: Path) -> Input:
    """Return a volume whose modality nothing states with the likeliest one, and a remark that says so.

    A volume that is certainly in Hounsfield units is a CT, whatever its name. Else the name decides: a PET, too, may
    have values far below zero.
    """
    by_values, by_name = guess_modality(volume.image), named_modality(path)
    hounsfield = MODALITIES[by_values].window is not None and (not by_name or in_hounsfield_units(volume.image))
    modality = by_values if hounsfield else by_name or by_values
    reason = "its values, which reach below those of tissue as Hounsfield units do" if hounsfield else "its name"
    if not (hounsfield or by_name):
        reason = "its values, which are no Hounsfield units"
    others = [name for name in MODALITIES if name != modality]
    remark = (
        f"{path.name} was taken for a {MODALITIES[modality].label} because of {reason}; if it is none, give "
        f"--modality {' or '.join(others)}."
    )
    return replace(volume, modality=modality, remarks=(remark, *volume.remarks))


def source_of(path: Path) -> Path:
    """Return the file or folder that is read when a user gives a path: for one image of a DICOM series its folder."""
    if not is_dicom_path(path):
        return path
    from BSAFusionLib.files.dicom.source import series_source  # here, since it imports pydicom

    return series_source(path).path


def _same_file(pair: Pair) -> bool:
    """Tell whether both volumes come from one file; a DICOM folder may hold both."""
    # Path.is_file raises where a folder may not be opened; reading the volume says so.
    return os.path.isfile(pair.fixed) and os.path.isfile(pair.moving) and pair.fixed.samefile(pair.moving)


def _check_series(pair: Pair) -> None:
    """Raise FusionError where a series is chosen of a file that is no DICOM, which would be ignored."""
    for role, path, series in (("fixed", pair.fixed, pair.fixed_series), ("moving", pair.moving, pair.moving_series)):
        if series and os.path.isfile(path) and not is_dicom_path(path):
            raise FusionError(
                f"--{role}-series (in a table: {role}_series) applies to DICOM only, but {path.name} is not DICOM; "
                "omit it."
            )


def _check_stated_roles(pair: Pair) -> tuple[str, ...]:
    """Check what sidecars and names say about both volumes; return what only sounds wrong, a sentence each.

    Raises:
        ExchangedRoles: The fixed volume is no MRI, or the moving one is, by a sidecar or BIDS name.
    """
    fixed, moving = (None if is_dicom_path(path) else stated_modality(path) for path in (pair.fixed, pair.moving))
    if fixed is not None and fixed != MRI:
        raise ExchangedRoles(
            f"The fixed volume is a {MODALITIES[fixed].label} by its name or sidecar, and no MRI; exchange the two "
            "volumes."
        )
    if moving == MRI and fixed != MRI:
        raise ExchangedRoles("The moving volume is an MRI by its name or sidecar; exchange the two volumes.")
    if moving == MRI:
        raise FusionError(f"Both volumes are MRIs by their names or sidecars; give a {listed()} as the moving one.")
    if moving is None and not is_dicom_path(pair.moving) and sounds_like_mri(pair.moving):
        return (
            f"By its name the moving volume, {pair.moving.name}, may be an MRI; the MRI is given first, and the other "
            "scan second.",
        )
    return ()


def _check_no_folder_of_volumes(path: Path) -> None:
    """Raise an error that names the files where a folder holds volumes in files, but no DICOM images."""
    if not path.is_dir():
        return
    from BSAFusionLib.files.dicom.series import series_in  # here, since it imports pydicom

    names = sorted(file.name for file in path.iterdir() if file.name.lower().endswith(VOLUME_SUFFIXES))
    if names and not series_in(path):
        more = ", ..." if len(names) > MOST_LISTED else ""
        raise FusionError(
            f"The folder {path} holds no DICOM images, but NIfTI, NRRD or MetaImage files; give one of them: "
            f"{', '.join(names[:MOST_LISTED])}{more}."
        )
