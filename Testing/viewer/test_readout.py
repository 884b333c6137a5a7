"""The values under the cursor are those of the files at that point of the patient."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.viewer.readout import Probe, read_all

ORIGIN, SPACING = (-20.0, 30.0, 5.0), (2.0, 3.0, 4.0)


def image_of(values: np.ndarray, is_vector: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(values, isVector=is_vector)
    image.SetOrigin(ORIGIN)
    image.SetSpacing(SPACING)
    return image


@pytest.fixture
def numbered() -> sitk.Image:
    """Voxels that hold 100 times their slice, 10 times their row and their column."""
    k, j, i = np.mgrid[:4, :5, :6]
    return image_of((100 * k + 10 * j + i).astype(np.int16))


def test_a_line_gives_the_place_in_ras_and_every_value_with_its_unit(numbered: sitk.Image) -> None:
    # Column 3, row 2, slice 1 lies at -14, 36, 9 mm in LPS, so to the right, behind and above.
    line = read_all([Probe("MRI", numbered), Probe("PET", numbered, "SUV")], (14.0, -36.0, 9.0))
    assert line == "R 14, P 36, S 9 mm | MRI 123 | PET 123 SUV"


@pytest.mark.parametrize("offset", [-0.9, 0.9])
def test_a_voxel_is_read_as_it_is_stored_up_to_its_edge(numbered: sitk.Image, offset: float) -> None:
    assert Probe("MRI", numbered).read((-14.0 + offset, 36.0, 9.0)) == "MRI 123"


def test_a_negative_zero_is_read_as_zero() -> None:
    assert Probe("PET", image_of(np.full((4, 5, 6), -0.0, np.float32))).read((-14.0, 36.0, 9.0)) == "PET 0"


def test_a_smooth_map_is_read_between_its_voxels() -> None:
    slope = image_of(np.broadcast_to(np.arange(6) * 0.5, (4, 5, 6)).astype(np.float32))
    assert Probe("error", slope, "mm", sitk.sitkLinear).read((-19.0, 36.0, 9.0)) == "error 0.25 mm"


def test_a_volume_is_read_where_its_transform_leads(numbered: sitk.Image) -> None:
    shift = sitk.TranslationTransform(3, (4.0, 0.0, 0.0))
    assert Probe("PET", numbered, transform=shift).read((-14.0, 36.0, 9.0)) == "PET 125"


@pytest.mark.parametrize("point", [(-21.1, 36.0, 9.0), (-8.9, 36.0, 9.0), (-14.0, 36.0, 19.1)])
def test_beyond_the_volume_nothing_is_read(numbered: sitk.Image, point: tuple[float, float, float]) -> None:
    assert Probe("PET", numbered).read(point) == "PET: outside"


@pytest.mark.parametrize("offset", [-0.9, 0.9])  # within the voxel, all of whose points have one value
@pytest.mark.parametrize(("shift", "text"), [(4.9, "PET 123 SUV"), (5.1, "PET: outside")])
def test_a_resampled_voxel_is_read_where_its_source_has_one(
    numbered: sitk.Image, offset: float, shift: float, text: str
) -> None:
    source = Probe("", numbered, transform=sitk.TranslationTransform(3, (shift, 0.0, 0.0)))  # ends 5 mm from its center
    assert Probe("PET", numbered, "SUV", source=source).read((-14.0 + offset, 36.0, 9.0)) == text


def test_where_a_map_has_no_value_none_is_read() -> None:
    column = np.mgrid[:4, :5, :6][2].astype(np.float32)
    probe = Probe("error", image_of(np.where(column < 3, column, np.nan)), "mm", sitk.sitkLinear)
    assert [probe.read((x, 36.0, 9.0)) for x in (-16.0, -14.0)] == ["error 2 mm", "error: outside"]


def test_colors_are_read_by_their_parts() -> None:
    color = image_of(np.full((4, 5, 6, 3), (10, 200, 30), np.uint8), is_vector=True)
    assert Probe("PET", color).read((-14.0, 36.0, 9.0)) == "PET 10, 200, 30"


@pytest.mark.parametrize(
    ("value", "text"), [(16563.4, "16563"), (5.2134, "5.21"), (-1000.0, "-1000"), (0.0123, "0.0123")]
)
def test_values_have_significant_digits(value: float, text: str) -> None:
    assert Probe("PET", image_of(np.full((4, 5, 6), value))).read((-14.0, 36.0, 9.0)) == f"PET {text}"
