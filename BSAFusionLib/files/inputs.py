"""The two volumes of a case, read from files or from DICOM series."""

from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import is_dicom_path, read_scan
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.modalities import MODALITIES


@dataclass(frozen=True)
class Pair:
    """Where the volumes of one case are.

    fixed, moving: a NIfTI, NRRD or MetaImage file, or a DICOM folder or file. modality: of the moving volume; "auto" is
    what the DICOM tags say, else what the intensities look like. fixed_series, moving_series: Series Instance UIDs,
    where a DICOM folder holds more than one series of the kind.
    """

    fixed: Path
    moving: Path
    modality: str = "auto"
    fixed_series: str | None = None
    moving_series: str | None = None


@dataclass(frozen=True)
class Input:
    """A volume, what it is called, and what DICOM says of it (nothing for other files).

    metadata: texts by the keys that outputs on its grid carry: FrameOfReferenceUID, SeriesInstanceUID, Modality, Unit.
    """

    image: sitk.Image
    name: str
    modality: str
    metadata: dict[str, str]
    remark: str | None = None


def read_pair(pair: Pair) -> tuple[Input, Input]:
    """The fixed and the moving volume; FusionError for what the user can mend."""
    wanted = tuple(MODALITIES) if pair.modality == "auto" else (pair.modality,)
    fixed = read_input(pair.fixed, ("mri",), pair.fixed_series, "mri")
    return fixed, read_input(pair.moving, wanted, pair.moving_series, pair.modality)


def read_input(path: Path, wanted: tuple[str, ...], series: str | None, modality: str) -> Input:
    """One volume of modality `modality`, if it is a file; of one of those `wanted`, if DICOM. FusionError as above."""
    try:
        if not is_dicom_path(path):
            return Input(read_volume(path), Path(path.name.removesuffix(".gz")).stem, modality, {})
        scan = read_scan(path, wanted, series)
    except OSError as error:
        role = "fixed" if modality == "mri" else "moving"
        raise FusionError(f"The {role} volume cannot be read ({error.strerror}); see that you may open it.") from error
    metadata = {
        "FrameOfReferenceUID": scan.frame_of_reference_uid,
        "SeriesInstanceUID": scan.series_uid,
        "Modality": scan.modality,
        "Unit": scan.unit,
    }
    # Called by its modality: the folder may well be called after the patient.
    return Input(scan.image, scan.modality.upper(), scan.modality, metadata, scan.remark)
