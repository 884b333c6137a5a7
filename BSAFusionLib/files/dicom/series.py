"""The series in a DICOM folder, and the choice of one."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import UID, ImplicitVRLittleEndian

from BSAFusionLib.errors import ExchangedRoles, FusionError
from BSAFusionLib.files.atomic import UNFINISHED
from BSAFusionLib.files.dicom.recognize import is_dicom_file
from BSAFusionLib.modalities import MRI, from_dicom

# All that is ever read of a file besides its pixels: neither names nor numbers of a patient are among them.
TAG_NAMES = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "SpacingBetweenSlices",
    "SliceThickness",
    "SliceVector",
    "AcquisitionNumber",
    "DetectorInformationSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    # for the time points of a dynamic series, beside AcquisitionDate and AcquisitionTime
    "FrameReferenceTime",
    "ActualFrameDuration",
    "TemporalPositionIdentifier",
    # for SUV
    "Units",
    "SUVType",
    "CorrectedImage",
    "DecayCorrection",
    "PatientWeight",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "RadiopharmaceuticalInformationSequence",
    "AttenuationCorrected",  # these three of enhanced multi-frame files
    "DecayCorrected",
    "DecayCorrectionDateTime",
    0x00090010,  # GE: the creator of its private block, and when the scan began
    0x0009100D,
    0x70530010,  # Philips: likewise, and its factors from counts to SUV and to Bq/ml
    0x70531000,
    0x70531009,
)
TAGS = [Tag(name) for name in TAG_NAMES]

DAMAGED = "A DICOM file is cut short or damaged; send the series again."

# Where a file says where its images lie: a classic one, an enhanced one, a gamma camera's.
POSITION_TAGS = ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence", "DetectorInformationSequence")


@dataclass(frozen=True)
class Series:
    """The images of one series.

    Attributes:
        uid: Series Instance UID.
        headers: One a file, with only `TAGS`; their `filename` says where each came from.
        doubles: Number of further files that hold one of these images again.
    """

    uid: str
    headers: list[pydicom.FileDataset]
    doubles: int = 0

    @property
    def images(self) -> int:
        """Return the number of images in all files."""
        return sum(int(header.get("NumberOfFrames", 1) or 1) for header in self.headers)

    def __str__(self) -> str:
        """Describe the series without the descriptions that people write."""
        first = self.headers[0]
        number = first.get("SeriesNumber")
        named = f"number {number}, " if number is not None else ""
        return f"{self.uid} ({named}{first.Modality}, {self.images} images of {first.Columns} x {first.Rows})"

    @property
    def name(self) -> str:
        """Name the series in a sentence; its folder and description may name the patient."""
        return f"the {(from_dicom(self.headers[0].Modality) or '').upper()}'s DICOM series"

    def may_be_volume(self) -> bool:
        """Tell whether it has several images, says where they lie, and calls none of them a localizer."""
        placed = any(name in self.headers[0] for name in POSITION_TAGS)
        localizer = any("LOCALIZER" in (header.get("ImageType") or ()) for header in self.headers)
        return self.images > 1 and placed and not localizer


def choose_series(path: Path, wanted: tuple[str, ...], uid: str | None = None) -> Series:
    """Return the only series of a wanted modality in a folder or file, or the one with a UID.

    A localizer or a screenshot beside a volume in a study's folder does not count.

    Args:
        path: A folder, with all below it, or a file.
        wanted: Modalities, as in `MODALITIES`, or "mri".
        uid: Series Instance UID, or None.

    Raises:
        FusionError: There is no such series, or more than one.
    """
    series = series_in(path)
    modalities = [from_dicom(one.headers[0].Modality) or "" for one in series]
    found = [one for one, modality in zip(series, modalities, strict=True) if modality in wanted]
    kinds = " or ".join(name.upper() for name in wanted)
    if not found and modalities and (MRI in wanted) != (MRI in modalities):
        others = " and ".join(dict.fromkeys(modality.upper() for modality in modalities))
        raise ExchangedRoles(f"The DICOM folder holds no {kinds} volume but {others}; exchange the two volumes.")
    if not found:
        raise FusionError(f"The DICOM folder holds no {kinds} volume; give one that does.")
    if uid is not None:
        found = [series for series in found if series.uid == uid]
        if not found:
            raise FusionError(f"The DICOM folder holds no {kinds} series {uid}; give the UID of one of its series.")
    if len(found) > 1:
        found = [series for series in found if series.may_be_volume()] or found
    if len(found) > 1:
        listed = "; ".join(map(str, found))
        raise FusionError(f"The DICOM folder holds {len(found)} {kinds} series; name one by its UID: {listed}.")
    return found[0]


def series_in(path: Path) -> list[Series]:
    """Return the series in and below a folder, or in a file, that show something in space, ordered by number.

    Raises:
        FusionError: A file is damaged; without its slice the volume would look whole.
    """
    files = sorted(_files_below(path)) if path.is_dir() else [path]
    headers: dict[str, dict[Hashable, pydicom.FileDataset]] = defaultdict(dict)
    doubles: Counter[str] = Counter()
    for file in files:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS, force=is_dicom_file(file))
            list(header.iterall())  # pydicom takes each tag's value apart only now
        except InvalidDicomError:  # what lies beside the images: a DICOMDIR's viewer, notes
            continue
        except PermissionError:
            raise
        except Exception as error:  # whatever its damaged input leads to
            raise FusionError(DAMAGED) from error
        kind = UID(header.file_meta.get("MediaStorageSOPClassUID", ""))
        if kind.name.endswith("Image Storage") and not ("Modality" in header and "Rows" in header):
            raise FusionError(DAMAGED)
        if from_dicom(str(header.get("Modality"))) and "Rows" in header and _is_reconstructed(header):
            if _lacks_pixels(header, file):
                raise FusionError(DAMAGED)
            uid = str(header.get("SeriesInstanceUID", ""))
            image = _image_of(header)
            doubles[uid] += image in headers[uid]
            headers[uid].setdefault(image, header)
    series = [Series(uid, list(images.values()), doubles[uid]) for uid, images in headers.items()]
    return sorted(series, key=lambda one: (str(one.headers[0].get("SeriesNumber", "")).zfill(12), one.uid))


def _lacks_pixels(header: pydicom.FileDataset, file: Path) -> bool:
    """Tell whether a file is shorter than the pixels that its tags promise; GDCM fills in what is missing."""
    syntax = UID(header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian))
    if not syntax.is_transfer_syntax or syntax.is_compressed or syntax.is_deflated:
        return False
    try:
        counts = [int(header.get(name) or 1) for name in ("Rows", "Columns", "NumberOfFrames")]
        return file.stat().st_size < math.prod(counts) * int(header.get("BitsAllocated") or 8) // 8
    except (TypeError, ValueError):  # a tag that is no number, of which reading the images says more
        return False


def _image_of(header: pydicom.FileDataset) -> Hashable:
    """Return what two files share that hold the same image; place and number, too, since some tools copy the UID."""
    instance = str(header.get("SOPInstanceUID", "")) or header.filename
    return instance, str(header.get("ImagePositionPatient", "")), str(header.get("InstanceNumber", ""))


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files in and below a folder, but for results that another run is writing there, which soon move.

    Raises:
        FusionError: A link leads to no file; without its slice the volume could look whole.
    """
    for file in folder.rglob("*"):
        if any(part.startswith(UNFINISHED) for part in file.relative_to(folder).parts):
            continue
        if file.is_file():
            yield file
        elif file.is_symlink() and not file.exists():
            raise FusionError(
                "The DICOM folder holds a link to a file that is not there (not fetched yet?); fetch all its files, or "
                "remove the link."
            )


def _is_reconstructed(header: pydicom.FileDataset) -> bool:
    """Tell whether an image is a slice or volume; a gamma camera also stores the projections that it was made from."""
    return header.Modality != "NM" or any("RECON" in part for part in header.get("ImageType", ()))
