"""Exchanged volumes, the same volume twice, and label maps are recognized by their voxels."""

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.errors import ExchangedRoles, FusionError
from BSAFusionLib.pipeline.case import prepare_case
from BSAFusionLib.pipeline.input_checks import check_volumes
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.pipeline.roles import remark_on_modality
from BSAFusionLib.resources import SAMPLE_DATA
from BSAFusionLib.settings import Settings

as_placed = sitk.Transform()


@pytest.mark.parametrize("modality", ["ct", "pet"])
def test_a_fixed_volume_in_hounsfield_units_is_refused_in_those_words(mri, ct, modality) -> None:
    with pytest.raises(ExchangedRoles, match=r"The fixed volume is in Hounsfield units, .* exchange the two"):
        check_volumes(ct, mri, modality, as_placed)


def test_an_mri_with_values_below_zero_stays_one(mri, ct) -> None:
    check_volumes(sitk.Cast(mri, sitk.sitkFloat32) * 3 - 1000, ct, "ct", as_placed)


@pytest.mark.parametrize("modality", ["ct", "pet", "spect"])
def test_the_same_voxels_twice_are_refused(mri, modality) -> None:
    moved = sitk.Image(mri)
    moved.SetOrigin((3.0, 0.0, 0.0))
    with pytest.raises(FusionError, match="The fixed and the moving volume are the same"):
        check_volumes(mri, moved, modality, as_placed)


def test_a_ct_that_is_called_a_pet_is_said(mri, ct) -> None:
    (warning,) = check_volumes(mri, ct, "pet", as_placed).warnings
    assert warning == "The moving volume is in Hounsfield units, so it is a CT and not a PET; set its modality to CT."


@pytest.mark.parametrize("exchanged", [False, True])
def test_an_mri_in_the_place_of_a_spect_is_said(exchanged) -> None:
    """By the classifier of the shipped weights, on the sample volumes; that of PET's does not tell these."""
    mri, pet = (sitk.ReadImage(str(SAMPLE_DATA / name)) for name in ("mri_t1.nii.gz", "pet_fdg.nii.gz"))
    case = prepare_case(*((pet, mri) if exchanged else (mri, pet)), Settings("spect", device="cpu"))
    stack = case.network_input.stack(case.network_input.registration_grid(2, 256), as_placed)
    remarks = list(remark_on_modality(case.network.runner, stack, "spect"))
    assert len(remarks) == exchanged
    assert all("takes the moving volume for an MRI and not for a SPECT" in remark for remark in remarks)


def labels_of(image: sitk.Image, labels: list[int]) -> sitk.Image:
    """Return a label map of regions of like intensities, in blocks of 3 x 3 x 3 voxels."""
    quantiles = np.quantile(sitk.GetArrayFromImage(image), np.linspace(0.5, 1, len(labels))[:-1])
    regions = np.digitize(sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 6.0)), quantiles)
    blocks = np.kron(np.array(labels)[regions[::3, ::3, ::3]], np.ones((3, 3, 3), int)).astype(np.int16)
    result = sitk.GetImageFromArray(blocks)
    result.SetSpacing(image.GetSpacing())
    result.SetOrigin(image.GetOrigin())
    return result


@pytest.mark.parametrize("labels", [[0, 1], [0, 2, 3, 4, 41, 42, 77], [0, 1001, 1002, 1035, 2001]])
def test_a_label_map_is_said(mri, pet, labels) -> None:
    moving = labels_of(pet, labels)
    (warning,) = check_volumes(mri, moving, "pet", as_placed).warnings
    assert "The moving volume looks like a label map, so it was resampled to the nearest voxel" in warning
    (warning,) = check_volumes(moving, pet, "pet", as_placed).warnings
    assert warning == "The fixed volume looks like a label map; give the MRI that it was drawn on."


@pytest.mark.slow  # a whole run
def test_a_registered_label_map_has_the_same_labels(mri, pet, weights) -> None:
    labels = [0, 2, 3, 41, 250]
    settings = Settings("pet", prealignment="none", do_no_harm=False, weights=weights, device="cpu")
    registered = register_and_fuse(mri, labels_of(pet, labels), settings).registered
    assert set(np.unique(sitk.GetArrayFromImage(registered))) == set(labels)


@pytest.mark.parametrize("levels", [12, 50, 255, 30000])
@pytest.mark.parametrize("name", ["pet", "ct"])
def test_a_scan_of_few_levels_is_no_label_map(request, mri, name, levels) -> None:
    values = sitk.GetArrayFromImage(request.getfixturevalue(name)).astype(np.float64)
    scaled = np.rint((values - values.min()) / np.ptp(values) * levels).astype(np.int32)
    moving = sitk.GetImageFromArray(scaled)
    moving.CopyInformation(mri)
    assert check_volumes(mri, moving, name, as_placed).warnings == ()


@pytest.mark.parametrize(("factor", "unit"), [(1e-3, "meters"), (1e3, "micrometers")])
def test_lengths_that_are_not_in_mm_are_said(mri, pet, factor, unit) -> None:
    scaled = []
    for image in (mri, pet):
        other = sitk.Image(image)
        other.SetSpacing([factor * spacing for spacing in image.GetSpacing()])
        other.SetOrigin([factor * place for place in image.GetOrigin()])
        scaled.append(other)
    try:
        said = " ".join(check_volumes(*scaled, "pet", as_placed).warnings)
    except FusionError as error:  # voxels of over a meter
        said = str(error)
    assert f"which seems to be in {unit}" in said
