"""An enhanced multi-frame PET becomes SUV as worked out by hand, and keeps its unit where its tags do not allow it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread

from BSAFusionLib.files.dicom.scan import Scan, read_scan
from BSAFusionLib.files.dicom.suv import suv_factor
from Testing.dicom.conftest import real_world, write_enhanced_pet
from Testing.dicom.test_suv import by_hand, header, tracer

slopes = [0.5, 2.0, 3.0, 0.25, 1.0, 4.0]  # one a slice
# As in test_suv, with the dose in MBq and the times with their days, as enhanced files have them.
given = tracer(RadionuclideTotalDose=400.0, RadiopharmaceuticalStartDateTime="20240301090000")


def tags(**changed: Any) -> dict[str, Any]:
    usual = {
        "AttenuationCorrected": "YES",
        "DecayCorrected": "YES",
        "DecayCorrectionDateTime": "20240301104946.2",
        "PatientWeight": 80,
        "RadiopharmaceuticalInformationSequence": [given],
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def activity(slope: float) -> Dataset:
    return real_world(slope, "Bq/ml")


def scan_of(folder: Path, volume: sitk.Image, mapping: Any = activity, **changed: Any) -> Scan:
    write_enhanced_pet(folder / "pet.dcm", volume, slopes, mapping, **tags(**changed))
    return read_scan(folder, ("pet",))


def values_times(volume: sitk.Image, factor: float) -> np.ndarray:
    return sitk.GetArrayFromImage(volume) * np.reshape(slopes, (-1, 1, 1)) * factor


@pytest.mark.parametrize(
    "changed",
    [
        {},
        # the same moments, in other zones
        {
            "DecayCorrectionDateTime": "20240301104946.2+0100",
            "RadiopharmaceuticalInformationSequence": [
                tracer(RadionuclideTotalDose=400.0, RadiopharmaceuticalStartDateTime="20240301080000+0000")
            ],
        },
        # a program that wrote the dose in Bq, as in files of single images
        {
            "RadiopharmaceuticalInformationSequence": [
                tracer(RadionuclideTotalDose=400e6, RadiopharmaceuticalStartDateTime="20240301090000")
            ]
        },
    ],
)
def test_becquerels_become_suv(volume: sitk.Image, tmp_path: Path, changed: dict[str, Any]) -> None:
    scan = scan_of(tmp_path, volume, **changed)
    assert (scan.unit, scan.remarks) == ("SUVbw", ())
    assert np.allclose(sitk.GetArrayFromImage(scan.image), values_times(volume, by_hand), rtol=1e-6)


@pytest.mark.parametrize("code", ["g/ml{SUVbw}", "{SUVbw}g/ml"])
def test_values_that_are_suv_need_no_dose(volume: sitk.Image, tmp_path: Path, code: str) -> None:
    scan = scan_of(
        tmp_path, volume, lambda slope: real_world(slope / 8, code), RadiopharmaceuticalInformationSequence=None
    )
    assert (scan.unit, scan.remarks) == ("SUVbw", ())
    assert np.allclose(sitk.GetArrayFromImage(scan.image), values_times(volume, 1 / 8), rtol=1e-6)


def test_a_series_converted_from_single_images_has_the_tags_of_those(volume: sitk.Image, tmp_path: Path) -> None:
    classic = header(AcquisitionDate=None, AcquisitionTime=None, SeriesTime=None, SeriesDate=None, PatientWeight=None)
    series = {"PatientWeight": 80, "SeriesDate": "20240301", "SeriesTime": "114946.2"}  # made an hour later
    write_enhanced_pet(tmp_path / "pet.dcm", volume, slopes, None, classic, **series)
    scan = read_scan(tmp_path, ("pet",))
    assert (scan.unit, scan.remarks) == ("SUVbw", ())
    assert np.allclose(sitk.GetArrayFromImage(scan.image), values_times(volume, by_hand), rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PatientWeight": None}, "missing"),
        ({"PatientWeight": 0}, "zero"),
        ({"PatientWeight": 80e3}, "weighs 80000 kg"),
        ({"RadiopharmaceuticalInformationSequence": [given, given]}, "several tracers"),
        ({"DecayCorrectionDateTime": None}, "a time is missing"),
        ({"DecayCorrectionDateTime": "20240302104946.2"}, "injected 25.8 h before the scan, more than 10 half-lives"),
        ({"DecayCorrectionDateTime": "20240301060000"}, "injected 3.0 h after the scan began"),
        ({"AttenuationCorrected": "NO"}, "not corrected"),
        ({"DecayCorrected": None}, "not corrected"),
    ],
)
def test_where_the_tags_do_not_allow_it_values_are_becquerels(
    volume: sitk.Image, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """The mapping counts, not the scale of the pixels."""
    scan = scan_of(tmp_path, volume, lambda slope: real_world(10 * slope, "Bq/ml"), **changed)
    assert scan.unit == "BQML"
    assert "The PET is not in SUV but in BQML" in scan.remarks[-1] and said in scan.remarks[-1]
    assert np.allclose(sitk.GetArrayFromImage(scan.image), values_times(volume, 10), rtol=1e-6)


def test_files_that_are_decayed_to_different_times_keep_their_unit(volume: sitk.Image, tmp_path: Path) -> None:
    for number, time in enumerate(("20240301104946.2", "20240301110000")):
        write_enhanced_pet(tmp_path / f"{number}.dcm", volume, slopes, activity, **tags(DecayCorrectionDateTime=time))
    factor, why_not = suv_factor([dcmread(path) for path in sorted(tmp_path.iterdir())])
    assert (factor, why_not) == (None, "its files are decayed to different times")


@pytest.mark.parametrize(
    "mapping",
    [
        None,
        lambda slope: real_world(slope, "{counts}"),
        lambda slope: real_world(1.0, "Bq/ml"),  # slices differ in their scale
        lambda slope: real_world(slope, "Bq/ml", intercept=-7.0),
    ],
)
def test_values_without_one_known_unit_stay_as_they_are(volume: sitk.Image, tmp_path: Path, mapping: Any) -> None:
    scan = scan_of(tmp_path, volume, mapping)
    assert scan.unit == ""
    assert "not in SUV but in an unknown unit: its frames do not all state Bq/ml" in scan.remarks[-1]
    assert np.allclose(sitk.GetArrayFromImage(scan.image), values_times(volume, 1), rtol=1e-6)
