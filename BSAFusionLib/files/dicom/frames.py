"""The images of a DICOM series, ordered along their normal and checked to be a whole volume."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileDataset

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.moments import UNTIMED, Moment, classic_moment, enhanced_moment
from BSAFusionLib.files.dicom.unplaced import MOST, spans_an_image
from BSAFusionLib.files.orientation import MAX_ROUNDING_MM

DIRECTION_TOLERANCE = 4e-3  # between direction cosines: half a millimeter at a head's surface
STORED = ("BitsAllocated", "BitsStored", "PixelRepresentation")
PLACE_DECIMALS = 4  # of a height in mm, below which images lie at the same one


@dataclass(frozen=True)
class Frame:
    """One image of a series.

    Attributes:
        path: The file that it lies in.
        index: Its number in that file.
        position: Center of its first pixel, mm, LPS.
        across: Unit vector along its rows, LPS.
        down: Unit vector along its columns, LPS.
        spacing: Distance between rows and between columns, mm, as in (0028,0030).
        size: Columns and rows.
        scale: Rescale slope and intercept.
        file_scale: Those that GDCM reads all images of the file by.
        stored: Bits allocated, bits stored and pixel representation (signed or not) of its values.
        mirror: Sum of a stored value and of what GDCM makes of it in a MONOCHROME1 image; None for others.
        moment: When it was measured.
        frame_of_reference: UID of the coordinate system of its position; "" where none is stated.
        acquisition: Number of the acquisition; "" where none is stated, and for an MR, whose odd and even slices
            may be acquired one after the other.
        stated_step: Distance between slices by (0018,0088), mm; 0 where none is stated.
        number: Instance Number; "" where none is stated, and for an MR, numbered as acquired.
    """

    path: Path
    index: int
    position: np.ndarray
    across: np.ndarray
    down: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]
    scale: tuple[float, float]
    file_scale: tuple[float, float]
    stored: tuple[int, ...]
    mirror: int | None = None
    moment: Moment = UNTIMED
    frame_of_reference: str = ""
    acquisition: str = ""
    stated_step: float = 0.0
    number: str = ""

    @property
    def normal(self) -> np.ndarray:
        """Return the unit vector across the image, LPS."""
        return np.cross(self.across, self.down)


def frames_in_order(headers: list[FileDataset]) -> list[Frame]:
    """Return the images of a series in order along their normal, and by time where they share a place.

    Args:
        headers: One a file: of a classic series (an image a file), an enhanced multi-frame CT, MR or PET, or of NM.

    Raises:
        FusionError: They are no volume: there is only one, they are not parallel, or their positions are in several
            coordinate systems.

    Source: DICOM PS3.3, C.7.6.2, C.7.6.16 and C.8.4.
    """
    try:
        frames = [frame for header in headers for frame in _frames(header)]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise FusionError("The DICOM series does not say where its images lie; give one that was reconstructed.") from (
            error
        )
    if len(frames) < 2:
        raise FusionError("The DICOM series has a single image; give one that is a volume.")
    frames = _of_one_volume(frames)
    _check_frame_of_reference(frames)
    first = frames[0]
    return sorted(frames, key=lambda frame: (round(frame.position @ first.normal, PLACE_DECIMALS), frame.moment))


def _of_one_volume(frames: list[Frame]) -> list[Frame]:
    """Return the images that are parallel and of one size, without a few others (a localizer)."""
    stacks: list[list[Frame]] = []
    for frame in frames:
        stack = next((stack for stack in stacks if _belong_together(frame, stack[0])), None)
        if stack is None:
            stacks.append([frame])
        else:
            stack.append(frame)
    largest = max(stacks, key=len)
    if len(largest) < max(2, MOST * len(frames)):
        raise FusionError(
            "The images of the DICOM series are not slices of one volume (a localizer?); give another series."
        )
    return largest


def _check_frame_of_reference(frames: list[Frame]) -> None:
    """Raise FusionError where positions are in several coordinate systems, which do not compare.

    A UID of its own for each image, as some anonymizers write it, means nothing.
    """
    count = len({frame.frame_of_reference for frame in frames} - {""})
    if 1 < count < len(frames):
        raise FusionError(
            f"The positions in the DICOM series are in {count} coordinate systems (Frame of Reference UID, 0020,0052); "
            "give the images of one of them in a folder of their own."
        )


def _belong_together(one: Frame, other: Frame) -> bool:
    turned = max(np.abs(one.across - other.across).max(), np.abs(one.down - other.down).max())
    apart_mm = np.abs(np.subtract(one.spacing, other.spacing)).max() * max(one.size)  # at the far edge of the image
    same_grid = one.size == other.size and apart_mm <= MAX_ROUNDING_MM
    return bool(turned <= DIRECTION_TOLERANCE and same_grid)


def _frames(header: FileDataset) -> list[Frame]:
    """Return the images in one file."""
    if "PerFrameFunctionalGroupsSequence" in header:
        return _enhanced(header)
    if header.Modality == "NM":
        return _nuclear(header)
    if int(header.get("NumberOfFrames", None) or 1) > 1:
        raise ValueError("several images, of which none has a place")
    return [replace(_frame(header, 0, header, header, header, header), moment=classic_moment(header))]


def _enhanced(header: FileDataset) -> list[Frame]:
    shared = header.SharedFunctionalGroupsSequence[0]
    frames = []
    for index, own in enumerate(header.PerFrameFunctionalGroupsSequence):

        def group(name: str, own: Dataset = own) -> Dataset:
            found: Dataset = (own if name in own else shared)[name][0]
            return found

        scaled = "PixelValueTransformationSequence" in own or "PixelValueTransformationSequence" in shared
        frame = _frame(
            header,
            index,
            group("PlanePositionSequence"),
            group("PlaneOrientationSequence"),
            group("PixelMeasuresSequence"),
            group("PixelValueTransformationSequence") if scaled else header,
        )
        frames.append(replace(frame, moment=enhanced_moment(header, own)))
    file_scale = _file_scale(header)
    return [replace(frame, file_scale=file_scale) for frame in frames]


def _file_scale(header: FileDataset) -> tuple[float, float]:
    """Return the slope and intercept that GDCM reads all images of an enhanced file by.

    Those that all share, or else the first image's; where one of the two is missing there, those of the file itself.

    Raises:
        FusionError: The slope is empty, for which GDCM takes the intercept, or 0.

    Source: gdcmImageHelper.cxx, GetRescaleInterceptSlopeValue.
    """
    for groups in (header.SharedFunctionalGroupsSequence[0], header.PerFrameFunctionalGroupsSequence[0]):
        for scale in groups.get("PixelValueTransformationSequence", ()):
            if "RescaleSlope" in scale and "RescaleIntercept" in scale:
                if not scale.RescaleSlope:
                    raise FusionError(
                        "The Rescale Slope (0028,1053) of the DICOM series is empty or 0; export the series again."
                    )
                return rescale_of(scale)
    return rescale_of(header)


def _nuclear(header: FileDataset) -> list[Frame]:
    """Return the frames of a gamma camera: the first lies at the detector, the others follow by a signed distance.

    Source: DICOM PS3.3, C.8.4.15.
    """
    detector = header.DetectorInformationSequence[0]
    first = replace(_frame(header, 0, detector, detector, header, header), moment=classic_moment(header))
    step = float(header.get("SpacingBetweenSlices", None) or header.SliceThickness)
    order = np.asarray(header.get("SliceVector", None) or range(1, int(header.NumberOfFrames) + 1))
    return [
        replace(first, index=index, position=first.position + (number - 1) * step * first.normal)
        for index, number in enumerate(order.tolist())
    ]


def _frame(
    header: FileDataset, index: int, position: Dataset, orientation: Dataset, measures: Dataset, scale: Dataset
) -> Frame:
    """Return a frame from the data sets that hold its position, orientation, pixel spacing and rescale slope."""
    across, down = _numbers(orientation.ImageOrientationPatient).reshape(2, 3)
    if not spans_an_image([*across, *down]):
        raise ValueError("directions that span no image")
    rows, columns = _numbers(measures.PixelSpacing)
    rescale = rescale_of(scale)
    return Frame(
        Path(str(header.filename)),
        index,
        _numbers(position.ImagePositionPatient).reshape(3),
        across / np.linalg.norm(across),
        down / np.linalg.norm(down),
        (float(rows), float(columns)),
        (int(header.Columns), int(header.Rows)),
        rescale,
        rescale,
        tuple(int(header.get(name) or 0) for name in STORED),
        _mirror(header),
        frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
        acquisition="" if header.Modality == "MR" else str(header.get("AcquisitionNumber") or ""),
        stated_step=_stated_step(measures),
        number="" if header.Modality == "MR" else str(header.get("InstanceNumber") or ""),
    )


def _stated_step(measures: Dataset) -> float:
    """Return the distance between slices that tags state, mm; 0 where it is missing or no number."""
    try:
        step = abs(float(measures.get("SpacingBetweenSlices") or 0))
    except (TypeError, ValueError):
        return 0.0
    return step if np.isfinite(step) else 0.0


def rescale_of(scale: Dataset) -> tuple[float, float]:
    """Return the rescale slope and intercept in a data set; 1 and 0 where missing or empty, as GDCM takes them."""
    slope, intercept = scale.get("RescaleSlope"), scale.get("RescaleIntercept")
    slope, intercept = _numbers([1 if slope is None else slope, 0 if intercept is None else intercept])
    return float(slope), float(intercept)


def _mirror(header: FileDataset) -> int | None:
    """Return the sum of each stored value and of GDCM's for it: it inverts the values of a MONOCHROME1 image.

    Source: gdcmImageCodec.cxx, DoInvertMonochrome.
    """
    if header.get("PhotometricInterpretation") != "MONOCHROME1":
        return None
    return -1 if header.get("PixelRepresentation", 0) else 2 ** int(header.BitsStored) - 1


def _numbers(values: Sequence[str | float]) -> np.ndarray:
    """Return the values of a tag; ValueError where one is no number, or not finite."""
    return np.asarray_chkfinite(values, float)
