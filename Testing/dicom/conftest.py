"""DICOM as scanners write it, made from a volume: a file a slice, or all in one, with a patient who must not show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, FileDataset, uid
from pydicom.dataset import FileMetaDataset

patient_name, patient_id = "Planted^Penelope", "ID-471108151627-PLANTED"

classes = {
    "MR": uid.MRImageStorage,
    "CT": uid.CTImageStorage,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "NM": uid.NuclearMedicineImageStorage,
}
frame_of_reference = "1.2.826.0.1.3680043.8.498.77"


@pytest.fixture
def volume() -> sitk.Image:
    """Whole numbers on an oblique grid with three different spacings."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 2000, (6, 9, 7)).astype(np.int16))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.3, 0.4)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((1.1, 0.9, 3.3))
    image.SetOrigin((-71.25, 12.5, 33.75))
    return image


def write_series(
    folder: Path,
    volume: sitk.Image,
    modality: str,
    series_uid: str | None = None,
    slopes: list[float] | float = 1.0,
    intercept: float = 0.0,
    **tags: Any,
) -> str:
    """One file a slice, the stored values being those of the volume, in no order; returns the series' UID.

    slopes: one for all, or one a slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = series_uid or uid.generate_uid()
    stored = sitk.GetArrayFromImage(volume)
    slopes = np.broadcast_to(slopes, len(stored))
    for number in np.random.default_rng(1).permutation(len(stored)).tolist():
        dataset = _dataset(modality, series_uid, stored[number], tags)
        _place(dataset, dataset, dataset, volume, number)
        dataset.InstanceNumber = number + 1
        dataset.RescaleSlope, dataset.RescaleIntercept = float(slopes[number]), intercept
        dataset.save_as(folder / f"{uid.generate_uid()}.dcm", enforce_file_format=True)
    return series_uid


def write_nuclear(path: Path, volume: sitk.Image, step: float, **tags: Any) -> str:
    """A gamma camera's reconstruction: all slices in one file, `step` mm apart along the normal."""
    series_uid = uid.generate_uid()
    dataset = _dataset("NM", series_uid, sitk.GetArrayFromImage(volume), tags)
    detector = Dataset()
    _place(detector, detector, dataset, volume, 0)
    dataset.DetectorInformationSequence = [detector]
    dataset.ImageType = ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    dataset.SpacingBetweenSlices = step
    dataset.NumberOfFrames = volume.GetDepth()
    dataset.SliceVector = list(range(1, volume.GetDepth() + 1))
    dataset.save_as(path, enforce_file_format=True)
    return series_uid


def write_enhanced(path: Path, volume: sitk.Image, order: list[int], slope: float = 1.0) -> None:
    """An enhanced MR: all slices in one file, in that order, each with its place."""
    dataset = _dataset("MR", uid.generate_uid(), sitk.GetArrayFromImage(volume)[order], {})
    shared = _shared(volume)
    shared.PixelValueTransformationSequence = [_scale(slope)]
    _save_enhanced(path, dataset, uid.EnhancedMRImageStorage, shared, [_own(volume, number) for number in order])


def write_dynamic_enhanced(
    path: Path, volume: sitk.Image, images: list[tuple[int, int]], slopes: dict[tuple[int, int], float], series_uid: str
) -> None:
    """An enhanced PET with images of several times, each in a scale of its own.

    images: number of the time, from 0, and of the slice; the stored values are those of the volume, turned by as many
    rows as the time's number. slopes: by image.
    """
    stored = np.stack([np.roll(sitk.GetArrayFromImage(volume)[number], time, axis=0) for time, number in images])
    dataset, groups = _dataset("PT", series_uid, stored, {}), []
    for time, number in images:
        own, content = _own(volume, number), Dataset()
        content.TemporalPositionIndex = time + 1
        content.FrameAcquisitionDateTime = f"20240301235{time + 8}30.5"
        content.FrameAcquisitionDuration = 60_000.0 * (time + 1)
        own.FrameContentSequence = [content]
        own.PixelValueTransformationSequence = [_scale(slopes[time, number])]
        groups.append(own)
    _save_enhanced(path, dataset, uid.EnhancedPETImageStorage, _shared(volume), groups)


def write_enhanced_pet(
    path: Path,
    volume: sitk.Image,
    slopes: list[float],
    mapping: Callable[[float], Dataset] | None = None,
    converted: Dataset | None = None,
    **tags: Any,
) -> None:
    """An enhanced PET of one time, each slice in a scale of its own.

    mapping: gives the mapping to real-world values of a slice with that slope. converted: tags of all images, of a
    series that was converted from files of single images.
    """
    stored, groups, shared = sitk.GetArrayFromImage(volume), [], _shared(volume)
    dataset = _dataset("PT", uid.generate_uid(), stored, tags)
    for number, slope in enumerate(slopes):
        own, content = _own(volume, number), Dataset()
        content.FrameAcquisitionDateTime = "20240301104946.2"
        own.FrameContentSequence, own.PixelValueTransformationSequence = [content], [_scale(slope)]
        if mapping is not None:
            own.RealWorldValueMappingSequence = [mapping(slope)]
        groups.append(own)
    if converted is not None:
        shared.UnassignedSharedConvertedAttributesSequence = [converted]
    kind = uid.EnhancedPETImageStorage if converted is None else uid.LegacyConvertedEnhancedPETImageStorage
    _save_enhanced(path, dataset, kind, shared, groups)


def real_world(slope: float, code: str, intercept: float = 0.0) -> Dataset:
    """Return a mapping from stored values to a unit by its UCUM code."""
    mapping, unit = Dataset(), Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = code, "UCUM", code
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, intercept
    mapping.MeasurementUnitsCodeSequence = [unit]
    return mapping


def _scale(slope: float) -> Dataset:
    scale = Dataset()
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = slope, 0.0, "US"
    return scale


def _shared(volume: sitk.Image) -> Dataset:
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    _place(Dataset(), orientation, measures, volume, 0)
    measures.SliceThickness = volume.GetSpacing()[2]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    return shared


def _own(volume: sitk.Image, number: int) -> Dataset:
    own, position = Dataset(), Dataset()
    _place(position, Dataset(), Dataset(), volume, number)
    own.PlanePositionSequence = [position]
    return own


def _save_enhanced(path: Path, dataset: FileDataset, kind: uid.UID, shared: Dataset, own: list[Dataset]) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    dataset.NumberOfFrames = len(own)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], own
    dataset.save_as(path, enforce_file_format=True)


def _dataset(modality: str, series_uid: str, stored: np.ndarray, tags: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = classes[modality]
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = patient_name, patient_id
    dataset.OtherPatientIDs = f"{patient_id}-2"
    dataset.SeriesDescription = f"axial of {patient_name}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid.generate_uid(), series_uid
    dataset.FrameOfReferenceUID = frame_of_reference
    dataset.Modality = modality
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.PixelData = stored.astype("<i2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def _place(position: Dataset, orientation: Dataset, measures: Dataset, volume: sitk.Image, number: int) -> None:
    """Write where slice `number` of a volume lies into the data sets that are to hold it."""
    direction = np.array(volume.GetDirection()).reshape(3, 3)
    position.ImagePositionPatient = _decimal(volume.TransformIndexToPhysicalPoint((0, 0, number)))
    orientation.ImageOrientationPatient = _decimal([*direction[:, 0], *direction[:, 1]])
    columns, rows, _ = volume.GetSpacing()
    measures.PixelSpacing = _decimal([rows, columns])


def _decimal(values: Any) -> list[str]:
    """As DICOM's decimal strings, of 16 characters at most."""
    return [f"{value:.12f}"[:16] for value in values]
