"""Measure whether templates of one space are aligned: `python Testing/benchmarks/symmetry.py VOLUMES`.

VOLUMES is a folder as `run.py evaluate --volumes` takes it. Each template is an average of many heads, so left and
right mirror each other about a plane. Registering each volume to its own mirror image finds that plane, and so how far
CT and PET lie off the T1 from left to right, without comparing one with another. The estimate of the rigid
initialization, which does compare them, is printed beside it: that of a run, which begins with the heads' poses.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.files.volumes import read_volume  # noqa: E402
from BSAFusionLib.pipeline.case import prepare_case  # noqa: E402
from BSAFusionLib.pipeline.initialization import find_heads, initialize  # noqa: E402
from BSAFusionLib.settings import Settings  # noqa: E402
from BSAFusionResearch.evaluation.volumes import moving_files  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volumes", type=Path)
    folder = parser.parse_args().volumes
    fixed = read_volume(folder / "mri_t1.nii.gz")
    plane = plane_of_symmetry(fixed)
    print("Towards the left, in mm, from the T1:")
    for modality, path in moving_files(folder).items():
        moving = sitk.Cast(read_volume(path), sitk.sitkFloat32)
        case = prepare_case(fixed, moving, Settings(modality, device="cpu"))
        initial = initialize(case, find_heads(case)).transform
        found = np.subtract(initial.TransformPoint(_middle(fixed)), _middle(fixed))[0]
        off = plane_of_symmetry(moving) - plane
        print(
            f"{modality}: {off:+.2f} by their planes of symmetry, {found:+.2f} by the rigid initialization", flush=True
        )


def plane_of_symmetry(volume: sitk.Image) -> float:
    """Return where left and right mirror each other, along x in mm (LPS), in a volume whose first axis is x."""
    values = np.nan_to_num(sitk.GetArrayFromImage(volume)).astype(np.float32)
    image, mirrored = sitk.GetImageFromArray(values), sitk.GetImageFromArray(np.flip(values, axis=2).copy())
    image.CopyInformation(volume)
    mirrored.CopyInformation(volume)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(_middle(volume))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(learningRate=1.0, minStep=0.001, numberOfIterations=200)
    method.SetOptimizerScales([40.0**2] * 3 + [1.0] * 3)  # mm: about the mean radius of a head
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(image, mirrored)
    # Where v is the volume: v(x) = mirrored(x + shift) = v(2 middle - x - shift).
    return _middle(volume)[0] - transform.GetTranslation()[0] / 2


def _middle(volume: sitk.Image) -> tuple[float, ...]:
    return volume.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in volume.GetSize()])


if __name__ == "__main__":
    main()
