"""Runs ANTs or elastix on two files; a program of its own, since both want other packages beside them than we do.

    python rival_program.py METHOD FOLDER

FOLDER holds fixed.nrrd and moving.nrrd. Written there are rigid.nrrd and whole.nrrd, displacement fields on the fixed
grid (fixed point -> moving point, mm, LPS) after the rigid part and after all, and seconds.json, two figures: seconds
on the clock and of the CPU, of the registration itself, with the registered volume but without starting Python and
without reading and writing files.
"""

import json
import sys
import time
from pathlib import Path


def clocks() -> tuple:
    """Seconds on the clock, and of this process on all CPUs."""
    return time.perf_counter(), time.process_time()


def ants_syn(folder: Path) -> list:
    """Rigid, then SyN, both by Mattes mutual information: `antsRegistrationSyNQuick.sh -t sr` as published.

    32 bins, a quarter of the points for the rigid part; shrink factors 8, 4, 2, 1, for SyN with 100, 70, 50 and 0
    iterations. Starts from the centres of mass.
    """
    import ants

    fixed, moving = (ants.image_read(str(folder / name)) for name in ("fixed.nrrd", "moving.nrrd"))
    begun = clocks()
    found = ants.registration(
        fixed, moving, type_of_transform="antsRegistrationSyNQuick[sr]", outprefix=str(folder / "ants_"), random_seed=1
    )
    ended = clocks()
    whole = found["fwdtransforms"]  # the last one acts first on what is resampled, that is, last on a fixed point
    for name, transforms in (("rigid.nrrd", whole[-1:]), ("whole.nrrd", whole)):
        field = ants.apply_transforms(fixed, moving, transforms, compose=str(folder / f"{name}_"))
        ants.image_write(ants.image_read(field), str(folder / name))
    return [end - begin for begin, end in zip(begun, ended, strict=True)]


def elastix_bspline(folder: Path) -> list:
    """Rigid, then B-splines, both by Mattes mutual information: the default parameter files of elastix's model zoo.

    They are also SlicerElastix's preset for all kinds of images: four resolutions, 2048 random points in every
    iteration, 250 of them a resolution for the rigid part and 500 for the B-splines, whose control points come to lie
    every 16 mm. Starts from the volumes' middles.
    """
    import itk

    fixed, moving = (itk.imread(str(folder / name), itk.F) for name in ("fixed.nrrd", "moving.nrrd"))
    parameters = itk.ParameterObject.New()
    for kind, iterations in (("rigid", 250), ("bspline", 500)):
        chosen = parameters.GetDefaultParameterMap(kind, 4, 16.0)
        chosen["Registration"] = ["MultiResolutionRegistration"]
        chosen["Metric"] = ["AdvancedMattesMutualInformation"]  # ITKElastix adds a penalty on bending
        chosen["NumberOfHistogramBins"] = ["32"]
        chosen["ImageSampler"] = ["Random"]
        for pyramid in ("FixedImagePyramid", "MovingImagePyramid"):
            chosen[pyramid] = [pyramid.replace("Image", "RecursiveImage")]
        chosen["MaximumNumberOfIterations"] = [str(iterations)]
        chosen["AutomaticTransformInitialization"] = ["true"]
        parameters.AddParameterMap(chosen)
    begun = clocks()
    _, whole = itk.elastix_registration_method(fixed, moving, parameter_object=parameters)
    ended = clocks()
    rigid = itk.ParameterObject.New()
    rigid.AddParameterMap(whole.GetParameterMap(0))
    for name, found in (("rigid.nrrd", rigid), ("whole.nrrd", whole)):
        itk.imwrite(itk.transformix_deformation_field(moving, found), str(folder / name))
    return [end - begin for begin, end in zip(begun, ended, strict=True)]


if __name__ == "__main__":
    method, folder = sys.argv[1], Path(sys.argv[2])
    seconds = {"ants_syn": ants_syn, "elastix_bspline": elastix_bspline}[method](folder)
    (folder / "seconds.json").write_text(json.dumps(seconds))
