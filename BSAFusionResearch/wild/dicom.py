"""Write volumes as DICOM series, with the peculiarities that converters stumble over."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import FileDataset, uid
from pydicom.dataset import FileMetaDataset

CLASSES = {"MR": uid.MRImageStorage, "CT": uid.CTImageStorage, "PT": uid.PositronEmissionTomographyImageStorage}
CT_INTERCEPT = -1024.0

Change = Callable[[FileDataset, int], None]
"""Changes the data set of a slice, given its number."""


def write_series(image: sitk.Image, folder: Path, modality: str, change: Change | None = None) -> Path:
    """Write a file a slice, and return the folder.

    Args:
        image: An upright or oblique volume.
        folder: Made, unless it is there.
        modality: Of DICOM: "MR", "CT" or "PT".
        change: Applied to each slice before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    intercept = CT_INTERCEPT if modality == "CT" else 0.0
    stored = np.round(sitk.GetArrayFromImage(image) - intercept).clip(0, 32000).astype("<u2")
    series, study, frame = (uid.generate_uid() for _ in range(3))
    for number, pixels in enumerate(stored):
        dataset = _slice(image, modality, pixels, number)
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = series, study, frame
        dataset.RescaleIntercept, dataset.RescaleSlope = intercept, 1.0
        if change is not None:
            change(dataset, number)
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def inverted(dataset: FileDataset, number: int) -> None:
    """Store a slice as MONOCHROME1, which is shown inverted; its values mean the same."""
    dataset.PhotometricInterpretation = "MONOCHROME1"


def without_place(dataset: FileDataset, number: int) -> None:
    """Leave out orientation and position."""
    del dataset.ImageOrientationPatient, dataset.ImagePositionPatient


def jittering_position(dataset: FileDataset, number: int) -> None:
    """Move a slice by up to 0.1 mm along each axis."""
    jitter = np.random.default_rng(number).uniform(-0.1, 0.1, 3)
    dataset.ImagePositionPatient = np.add(dataset.ImagePositionPatient, jitter).tolist()


def rounded_position(dataset: FileDataset, number: int) -> None:
    """Write positions with one decimal."""
    dataset.ImagePositionPatient = [round(float(value), 1) for value in dataset.ImagePositionPatient]


def _slice(image: sitk.Image, modality: str, pixels: np.ndarray, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[modality]
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Wild^Case", "WILD", modality
    axes, spacing = np.reshape(image.GetDirection(), (3, 3)), image.GetSpacing()
    dataset.ImagePositionPatient = list(image.TransformIndexToPhysicalPoint((0, 0, number)))
    dataset.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
    dataset.PixelSpacing, dataset.SliceThickness = [spacing[1], spacing[0]], spacing[2]
    dataset.InstanceNumber = number + 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    return dataset
