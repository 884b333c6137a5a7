"""A PET's values become SUV as worked out by hand, and stay as they are where the tags do not allow it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dicom.scan import read_scan
from BSAFusionLib.files.dicom.suv import suv_factor
from BSAFusionLib.report.units import unit_name
from Testing.dicom.conftest import write_series

# 400 MBq of fluorine-18 (half-life 6586.2 s) at 9:00:00, the scan one half-life later: 200 MBq are left.
# 80 kg are 80 000 g, so SUV 1 is 200e6 Bq / 80 000 g = 2500 Bq/ml, and one Bq/ml is SUV 0.0004.
by_hand = 0.0004


def tracer(**tags: Any) -> Dataset:
    dataset = Dataset()
    dataset.RadionuclideTotalDose = 400e6
    dataset.RadionuclideHalfLife = 6586.2
    dataset.RadiopharmaceuticalStartTime = "090000"
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def tags(**changed: Any) -> dict[str, Any]:
    usual = {
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY", "SCAT"],
        "DecayCorrection": "START",
        "PatientWeight": 80,
        "SeriesDate": "20240301",
        "SeriesTime": "104946.2",
        "AcquisitionDate": "20240301",
        "AcquisitionTime": "104946.2",
        "RadiopharmaceuticalInformationSequence": [tracer()],
    }
    return {**usual, **changed}


def header(**changed: Any) -> Dataset:
    dataset = Dataset()
    for name, value in tags(**changed).items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def test_a_pet_series_is_read_in_suv(volume: sitk.Image, tmp_path: Path) -> None:
    write_series(tmp_path, volume, "PT", slopes=10.0, **tags())
    scan = read_scan(tmp_path, ("pet",))
    assert (scan.unit, scan.remarks) == ("SUVbw", ())
    assert np.allclose(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume) * 10 * by_hand, rtol=1e-6)


def test_a_pet_in_color_keeps_its_colors_and_has_no_unit(volume: sitk.Image, tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    layout = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    write_series(tmp_path, volume, "PT", **tags(), **layout, **depth, PixelData=colors.tobytes() + b"\0")
    scan = read_scan(tmp_path, ("pet",))
    assert (scan.unit, scan.remarks) == ("", ())
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), np.stack([colors] * 6))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        # the series was made anew an hour later: the acquisition says when the scan began
        {"SeriesTime": "114946.2"},
        # injected before midnight
        {
            "SeriesTime": "004946.2",
            "AcquisitionTime": "004946.2",
            "RadiopharmaceuticalInformationSequence": [tracer(RadiopharmaceuticalStartTime="230000")],
        },
        # the date of the injection is there; the time alone would be read as the next day's
        {
            "RadiopharmaceuticalInformationSequence": [
                tracer(RadiopharmaceuticalStartDateTime="20240301090000", RadiopharmaceuticalStartTime="120000")
            ]
        },
        # decayed to the injection, of which 200 MBq were given
        {
            "DecayCorrection": "ADMIN",
            "RadiopharmaceuticalInformationSequence": [tracer(RadionuclideTotalDose=200e6)],
        },
    ],
)
def test_the_factor_is_the_one_worked_out_by_hand(changed: dict[str, Any]) -> None:
    factor, why_not = suv_factor([header(**changed)])
    assert factor == pytest.approx(by_hand, rel=1e-9), why_not


copper = 45721.0  # half-life of copper-64, s


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(("scanned", "injected", "later_s"), [("104946.2", "104956.2", 10), ("235955", "000005", 10)])
def test_a_dynamic_scan_may_begin_shortly_before_the_injection(
    dated: bool, scanned: str, injected: str, later_s: float
) -> None:
    """Also across midnight, and where the tags give the injection no day."""
    day = "20240302" if injected < scanned else "20240301"
    times = {"RadiopharmaceuticalStartTime": injected}
    if dated:
        times["RadiopharmaceuticalStartDateTime"] = day + injected
    changed = {"SeriesTime": scanned, "AcquisitionTime": scanned}
    factor, why_not = suv_factor([header(RadiopharmaceuticalInformationSequence=[tracer(**times)], **changed)])
    dose = 400e6 * 2 ** (later_s / 6586.2)
    assert factor == pytest.approx(80_000 / dose, rel=1e-9), why_not


@pytest.mark.parametrize(
    ("given", "said"),
    [
        # de-identified: the day of the injection was not moved along with that of the scan
        ({"RadiopharmaceuticalStartDateTime": "20240229090000"}, "injected 25.8 h before the scan, more than 10 half-"),
        ({"RadiopharmaceuticalStartDateTime": "20240302090000"}, "injected 22.2 h after the scan began"),
        ({"RadiopharmaceuticalStartDateTime": "20240301134946.2"}, "injected 3.0 h after the scan began"),
        ({"RadiopharmaceuticalStartTime": "124946.2"}, "injected 22.0 h before the scan, more than 10 half-lives"),
        # oxygen-15, of which an earlier injection would leave nothing
        ({"RadiopharmaceuticalStartTime": "105446.2", "RadionuclideHalfLife": 122.2}, "injected 5.0 min after"),
        ({"RadiopharmaceuticalStartTime": "104956.2", "RadionuclideHalfLife": copper}, "a time but no day"),
        ({"RadionuclideHalfLife": 0}, "missing"),
    ],
)
def test_times_of_injection_and_scan_that_cannot_be_right_give_no_suv(given: dict[str, Any], said: str) -> None:
    factor, why_not = suv_factor([header(RadiopharmaceuticalInformationSequence=[tracer(**given)])])
    assert factor is None
    assert said in why_not


def test_a_long_half_life_allows_a_scan_on_the_next_day() -> None:
    given = tracer(RadiopharmaceuticalStartDateTime="20240229104946.2", RadionuclideHalfLife=copper)
    factor, why_not = suv_factor([header(RadiopharmaceuticalInformationSequence=[given])])
    assert factor == pytest.approx(80_000 / (400e6 * 2 ** (-86400 / copper)), rel=1e-9), why_not


def test_a_pet_with_impossible_times_keeps_its_unit_and_says_so(volume: sitk.Image, tmp_path: Path) -> None:
    given = tracer(RadiopharmaceuticalStartDateTime="20240229090000")
    write_series(tmp_path, volume, "PT", **tags(RadiopharmaceuticalInformationSequence=[given]))
    scan = read_scan(tmp_path, ("pet",))
    assert scan.unit == "BQML"
    assert "not in SUV but in BQML: by its tags the tracer was injected 25.8 h before" in scan.remarks[0]
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume))


def test_the_earliest_bed_position_counts() -> None:
    series = "114946.2"
    later, earlier = (header(SeriesTime=series, AcquisitionTime=time) for time in ("110000", "104946.2"))
    assert suv_factor([later, earlier])[0] == pytest.approx(by_hand, rel=1e-9)


def test_ges_own_time_of_the_scan_counts_for_a_later_series() -> None:
    dataset = header(SeriesTime="114946.2", AcquisitionTime="104950")
    dataset.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20240301104946.2")
    assert suv_factor([dataset])[0] == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize(("element", "value", "factor"), [(0x00, 0.02, 0.02), (0x09, 5.0, 5 * by_hand)])
def test_philips_counts_have_factors_of_their_own(element: int, value: float, factor: float) -> None:
    dataset = header(Units="CNTS")
    dataset.private_block(0x7053, "Philips PET Private Group", create=True).add_new(element, "DS", value)
    assert suv_factor([dataset])[0] == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PatientWeight": None}, "missing"),
        ({"PatientWeight": 0}, "zero"),
        ({"PatientWeight": 80e3}, "weighs 80000 kg; correct the weight, which must be in kg"),
        ({"RadiopharmaceuticalInformationSequence": [tracer(RadionuclideTotalDose=400)]}, "dose is 400 Bq; correct"),
        (
            {
                "DecayCorrection": "ADMIN",
                "RadiopharmaceuticalInformationSequence": [tracer(RadionuclideTotalDose=10.8)],
            },
            "dose is 10.8 Bq; correct the dose, which must be in Bq",
        ),
        ({"RadiopharmaceuticalInformationSequence": None}, "missing"),
        ({"DecayCorrection": "NONE"}, "what time"),
        ({"CorrectedImage": ["ATTN"]}, "not corrected"),
        ({"Units": "CNTS"}, "Philips"),
        ({"Units": "GML", "SUVType": "LBM"}, "body weight"),
    ],
)
def test_where_the_tags_do_not_allow_it_the_reason_is_said(changed: dict[str, Any], said: str) -> None:
    factor, why_not = suv_factor([header(**changed)])
    assert factor is None
    assert said in why_not


def test_a_pet_without_a_weight_keeps_its_unit_and_says_so(volume: sitk.Image, tmp_path: Path) -> None:
    given = tags()
    del given["PatientWeight"]
    write_series(tmp_path, volume, "PT", **given)
    scan = read_scan(tmp_path, ("pet",))
    assert scan.unit == "BQML"
    assert "not in SUV but in BQML" in scan.remarks[0]
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume))


@pytest.mark.parametrize(("kind", "named"), [("LBM", "SUV lbm"), ("IBW", "SUV ibw")])
def test_suv_by_another_mass_is_named_by_it(volume: sitk.Image, tmp_path: Path, kind: str, named: str) -> None:
    write_series(tmp_path, volume, "PT", **tags(Units="GML", SUVType=kind))
    scan = read_scan(tmp_path, ("pet",))
    assert unit_name(scan.unit) == named
    assert f"The PET is not in SUV by body weight but in {scan.unit}: " in scan.remarks[0]


def write_two_halves(
    folder: Path, volume: sitk.Image, modality: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Write the lower and the upper half of a volume as one series, with tags of their own."""
    series_uid = write_series(folder, volume[:, :, :3], modality, **first)
    write_series(folder, volume[:, :, 3:], modality, series_uid, **second)


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"Units": "CNTS"}, "BQML, CNTS"),
        ({"Units": "GML"}, "BQML, GML"),
        ({"Units": "GML", "SUVType": "LBM"}, r"BQML, \{SUVlbm\}g/ml"),
        ({"Units": ""}, "BQML, none"),
    ],
)
def test_images_in_several_units_are_refused(
    volume: sitk.Image, tmp_path: Path, second: dict[str, Any], named: str
) -> None:
    write_two_halves(tmp_path, volume, "PT", tags(), tags(**second))
    with pytest.raises(FusionError, match=rf"in several units \({named}\); give"):
        read_scan(tmp_path, ("pet",))


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"PatientWeight": 70}, "PatientWeight"),
        ({"DecayCorrection": "ADMIN"}, "DecayCorrection"),
        ({"CorrectedImage": ["ATTN"]}, "CorrectedImage"),
        ({"SeriesTime": "104900"}, "SeriesTime"),
        (
            {"RadiopharmaceuticalInformationSequence": [tracer(RadionuclideTotalDose=300e6)]},
            "RadionuclideTotalDose",
        ),
    ],
)
def test_images_that_differ_in_what_suv_needs_keep_their_unit(
    volume: sitk.Image, tmp_path: Path, second: dict[str, Any], named: str
) -> None:
    write_two_halves(tmp_path, volume, "PT", tags(), tags(**second))
    scan = read_scan(tmp_path, ("pet",))
    assert scan.unit == "BQML"
    assert scan.remarks == (f"The PET is not in SUV but in BQML: its images do not all state the same {named}.",)
    assert np.array_equal(sitk.GetArrayFromImage(scan.image), sitk.GetArrayFromImage(volume))


def test_a_ct_in_several_units_has_none(volume: sitk.Image, tmp_path: Path) -> None:
    write_two_halves(tmp_path, volume, "CT", {"RescaleType": "HU"}, {"RescaleType": "US"})
    scan = read_scan(tmp_path, ("ct",))
    assert scan.unit == ""
    assert scan.remarks == ("The images of the CT's DICOM series state several units (HU, US); none was taken.",)
