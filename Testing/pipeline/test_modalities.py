"""A modality is one row of the table: with its weights it runs from DICOM code to fused volume, and nothing else."""

from collections.abc import Iterator

import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES, Modality, from_dicom, listed, register, unregister
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from Testing.phantoms import save_untrained, small_head


@pytest.fixture
def mra(tmp_path) -> Iterator[Modality]:
    """Register a made-up modality by one row, with a file of random weights, as long as the test lasts."""
    weights = tmp_path / "angiography.safetensors"
    save_untrained(weights, modality="mra", size=32)
    row = Modality("mra", "MRA", ("XX",), color_map=((0.0, 0, 0, 0), (1.0, 255, 200, 0)), weights=str(weights))
    register(row)
    yield row
    unregister(row.name)


def test_a_new_row_and_its_weights_run_end_to_end(mra):
    settings = Settings("mra", device="cpu", prealignment="none", slice_axis="k", three_axes=False)
    result = register_and_fuse(small_head(0), small_head(1), settings)
    assert result.report.modality == "mra"
    assert result.report.weights == "angiography.safetensors"
    assert not any("trained for" in warning for warning in result.report.warnings)
    assert result.fused.GetPixelID() == sitk.sitkVectorUInt8  # its row has a color map
    blue = sitk.GetArrayViewFromImage(result.fused)[..., 2]
    red = sitk.GetArrayViewFromImage(result.fused)[..., 0]
    assert (red.astype(int) - blue).max() > 20  # and that is the map it is shown in


def test_a_new_row_is_known_by_its_dicom_code_and_offered_as_a_choice(mra):
    assert from_dicom("XX") == "mra"
    assert listed() == "CT, PET, SPECT or MRA"
    with pytest.raises(FusionError, match="ct, pet, spect, mra"):
        Settings("xray")


@pytest.mark.parametrize("row", [Modality("pet", "PET"), Modality("mri", "MRI"), Modality("mra", "MRA", ("MR",))])
def test_a_row_takes_no_name_or_dicom_code_of_another(row):
    before = dict(MODALITIES)
    with pytest.raises(ValueError, match=r"choose another name|give another"):
        register(row)
    assert before == MODALITIES


def test_every_shipped_row_maps_its_codes_to_itself():
    for name, row in MODALITIES.items():
        assert {from_dicom(code) for code in row.dicom_codes} == {name}
    assert from_dicom("MR") == "mri"
    assert from_dicom("US") is None
