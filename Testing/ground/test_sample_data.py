"""The sample data is small, and its truth is what lays the PET on the MRI."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.measures import mutual_information

folder = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"


def test_it_takes_3_mb_at_most() -> None:
    assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) <= 3e6


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("mm", [-2.0, 2.0])
def test_no_motion_beside_the_truth_fits_as_well(axis: int, mm: float) -> None:
    fixed = sitk.Shrink(sitk.ReadImage(str(folder / "mri_t1.nii.gz")), (3, 3, 1))
    moving = sitk.ReadImage(str(folder / "pet_fdg.nii.gz"))
    truth = sitk.ReadTransform(str(folder / "truth.h5"))
    offset = [0.0, 0.0, 0.0]
    offset[axis] = mm
    beside = sitk.CompositeTransform([truth, sitk.TranslationTransform(3, offset)])

    def fit(transform: sitk.Transform) -> float:
        registered = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)
        return mutual_information(
            sitk.GetArrayFromImage(fixed) / 1000, sitk.GetArrayFromImage(registered).astype(float) / 25000
        )

    assert fit(truth) > fit(beside)
    assert fit(truth) > fit(sitk.Transform())
