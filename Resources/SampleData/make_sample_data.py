"""Makes the sample data: an MRI, a simulated FDG-PET of the same head that has moved, and the motion it made.

It needs one package more than the program:

    .venv/bin/python -m pip install --constraint constraints.txt nilearn
    .venv/bin/python Resources/SampleData/make_sample_data.py
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nilearn import datasets

folder = Path(__file__).resolve().parent
sys.path.insert(0, str(folder.parents[1]))

from BSAFusionResearch.evaluation.known_motion import KnownMotion  # noqa: E402  (found only once the path is set)

motion = KnownMotion(seed=1, degrees=10.0, mm=12.0, elastic_mm=5.0)

mri_spacing = (1.0, 1.0, 3.0)  # mm: a clinical T1 of thick axial slices
pet_spacing = (3.0, 3.0, 3.0)  # mm
scanner_mm, reconstruction_mm = 5.0, 3.5  # full width at half maximum; 6.1 mm together

# FDG uptake in Bq/mL: grey matter takes up about four times as much as white matter.
grey, white, rest_of_brain = 20000.0, 5500.0, 1000.0
becquerel_per_count = 150.0  # sets the noise: about 9 % in a voxel of grey matter, before reconstruction smooths it


def main() -> None:
    t1 = as_image(datasets.load_mni152_template(resolution=1))
    mri = sitk.Cast(resample(smooth_through_slices(t1) * 1000, mri_spacing, margin=10), sitk.sitkInt16)
    pet = simulated_pet(t1, mri)
    sitk.WriteImage(mri, str(folder / "mri_t1.nii.gz"), useCompression=True)
    sitk.WriteImage(pet, str(folder / "pet_fdg.nii.gz"), useCompression=True)
    sitk.WriteTransform(motion.transform(mri), str(folder / "truth.h5"))
    for name in ("mri_t1.nii.gz", "pet_fdg.nii.gz", "truth.h5"):
        print(f"{name}: {(folder / name).stat().st_size / 1e6:.2f} MB")


def simulated_pet(t1: sitk.Image, mri: sitk.Image) -> sitk.Image:
    """The moved head's uptake as a scanner shows it (int16, Bq/mL)."""
    grey_part = as_image(datasets.load_mni152_gm_template(resolution=1))
    white_part = as_image(datasets.load_mni152_wm_template(resolution=1))
    brain = sitk.Cast(t1 > 0, sitk.sitkFloat32)
    uptake = grey * grey_part + white * white_part + rest_of_brain * (brain - grey_part - white_part)
    moved = motion.move(resample(sitk.Clamp(uptake, lowerBound=0), (2.0, 2.0, 2.0), margin=40), mri)
    seen = resample(blur(moved, scanner_mm), pet_spacing, margin=20)
    noise = np.random.default_rng(motion.seed)
    counts = noise.poisson(np.maximum(sitk.GetArrayFromImage(seen), 0) / becquerel_per_count)
    measured = sitk.GetImageFromArray((counts * becquerel_per_count).astype(np.float32))
    measured.CopyInformation(seen)
    return sitk.Cast(sitk.Clamp(blur(measured, reconstruction_mm), lowerBound=0), sitk.sitkInt16)


def as_image(template) -> sitk.Image:
    """A nilearn template (nibabel, RAS) as a SimpleITK image (float32, LPS)."""
    image = sitk.GetImageFromArray(np.asarray(template.dataobj, dtype=np.float32).transpose(2, 1, 0))
    spacing = np.diag(template.affine)[:3]  # the templates' axes are left to right, posterior to anterior, up
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((template.affine[:3, 3] * (-1, -1, 1)).tolist())
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


def resample(image: sitk.Image, spacing: tuple[float, ...], margin: float) -> sitk.Image:
    """The image on a grid of axial slices (axes L, P, S) that holds its bright part and a margin in mm around it."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(image > 0.05 * float(sitk.GetArrayViewFromImage(image).max()), sitk.sitkUInt8))
    start, size = np.array(shape.GetBoundingBox(1)).reshape(2, 3)
    corners = [image.TransformIndexToPhysicalPoint(index.tolist()) for index in (start, start + size - 1)]
    lowest, highest = np.min(corners, axis=0) - margin, np.max(corners, axis=0) + margin
    count = np.ceil((highest - lowest) / spacing).astype(int) + 1
    return sitk.Resample(
        image, count.tolist(), sitk.Transform(), sitk.sitkLinear, lowest.tolist(), spacing, np.eye(3).ravel().tolist()
    )


def smooth_through_slices(image: sitk.Image) -> sitk.Image:
    """What a thick slice averages, as a Gaussian of the slice's thickness at half maximum."""
    return sitk.RecursiveGaussian(image, sigma=mri_spacing[2] / 2.355, direction=2)


def blur(image: sitk.Image, width: float) -> sitk.Image:
    """A Gaussian of that full width at half maximum in mm."""
    return sitk.SmoothingRecursiveGaussian(image, width / 2.355)


if __name__ == "__main__":
    main()
