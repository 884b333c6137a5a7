"""Run ANTs or elastix on two files, as a program of its own, since both need other versions of packages than we do.

    python baseline_program.py METHOD FOLDER [SETTINGS]

SETTINGS, JSON, are the keywords of the method. FOLDER holds fixed.nrrd and moving.nrrd. The program writes
there rigid.nrrd and whole.nrrd, displacement fields on the fixed grid (fixed point -> moving point, mm, LPS) after the
rigid part and after all, and seconds.json: wall clock and CPU seconds of the registration, with the registered volume,
without the start of Python, reading and writing files.
"""

import json
import sys
import time
from pathlib import Path

BINS = 32  # of the joint histogram, for both
ELASTIX_ITERATIONS = {"rigid": 250, "bspline": 500}  # at each resolution
ELASTIX_RESOLUTIONS = 4
SEARCH_MM = 4.0  # of the volumes in ANTs' search
ELASTIX_GRID_MM = 16.0  # distance of the B-splines' control points


def clocks() -> tuple:
    """Return seconds on the wall clock and of this process on all CPUs."""
    return time.perf_counter(), time.process_time()


def ants_syn(folder: Path) -> list:
    """Register rigidly, then by SyN, both by Mattes mutual information.

    This is `antsRegistrationSyNQuick.sh -t sr` as antspyx has it: 32 bins, a quarter of the points for the rigid part
    from the centers of mass, and SyN with 50 iterations at half the resolution, none at the full one.

    Args:
        folder: Holds the two volumes; the fields are written there.

    Returns:
        Wall clock and CPU seconds.
    """
    import ants

    fixed, moving = (ants.image_read(str(folder / name)) for name in ("fixed.nrrd", "moving.nrrd"))
    begun = clocks()
    found = ants.registration(
        fixed, moving, type_of_transform="antsRegistrationSyNQuick[sr]", outprefix=str(folder / "ants_")
    )
    ended = clocks()
    whole = found["fwdtransforms"]  # the last one acts first on the resampled volume, that is, last on a fixed point
    for name, transforms in (("rigid.nrrd", whole[-1:]), ("whole.nrrd", whole)):
        field = ants.apply_transforms(fixed, moving, transforms, compose=str(folder / f"{name}_"))
        ants.image_write(ants.image_read(field), str(folder / name))
    return [end - begin for begin, end in zip(begun, ended, strict=True)]


def ants_rigid_syn(
    folder: Path, gradient_step: float = 0.2, flow_variance: float = 3.0, total_variance: float = 0.0
) -> list:
    """Register rigidly as `ants_syn` does, then by SyN from an eighth of the resolution on, by mutual information.

    Args:
        folder: As above.
        gradient_step: Of SyN.
        flow_variance: Of the Gaussian that smooths each update, in voxels^2.
        total_variance: Of the one that smooths the sum.

    Returns:
        Wall clock and CPU seconds.
    """
    import ants

    fixed, moving = (ants.image_read(str(folder / name)) for name in ("fixed.nrrd", "moving.nrrd"))
    begun = clocks()
    rigid = ants.registration(fixed, moving, "antsRegistrationSyNQuick[r]", outprefix=str(folder / "rigid_"))[
        "fwdtransforms"
    ]
    whole = ants.registration(
        fixed,
        moving,
        "SyNOnly",
        initial_transform=rigid[0],
        grad_step=gradient_step,
        flow_sigma=flow_variance,
        total_sigma=total_variance,
        reg_iterations=(100, 70, 50, 0),
        outprefix=str(folder / "ants_"),
    )["fwdtransforms"]
    ended = clocks()
    for name, transforms in (("rigid.nrrd", rigid), ("whole.nrrd", whole)):
        field = ants.apply_transforms(fixed, moving, transforms, compose=str(folder / f"{name}_"))
        ants.image_write(ants.image_read(field), str(folder / name))
    return [end - begin for begin, end in zip(begun, ended, strict=True)]


def ants_search(folder: Path) -> list:
    """Search for an initial transform, then register rigidly by Mattes mutual information.

    The search, `antsAffineInitializer`, came before antsAI, which antspyx lacks. It is used as `antsBrainExtraction.sh`
    uses it, on volumes of 4 mm; its step and range are the package's defaults. It also scales and shears, which a rigid
    registration would keep, so its rotation alone is gone on from. Every result is rigid, so both fields are the same.

    Args:
        folder: As above.

    Returns:
        Wall clock and CPU seconds.
    """
    import ants

    fixed, moving = (ants.image_read(str(folder / name)) for name in ("fixed.nrrd", "moving.nrrd"))
    begun = clocks()
    coarse = [ants.resample_image(image, (SEARCH_MM,) * 3, False, 0) for image in (fixed, moving)]
    initial = folder / "initial.mat"
    ants.write_transform(nearest_rigid(ants.read_transform(ants.affine_initializer(*coarse)), coarse[0]), str(initial))
    found = ants.registration(fixed, moving, "Rigid", initial_transform=str(initial), outprefix=str(folder / "ants_"))
    ended = clocks()
    for name in ("rigid.nrrd", "whole.nrrd"):
        field = ants.apply_transforms(fixed, moving, found["fwdtransforms"], compose=str(folder / f"{name}_"))
        ants.image_write(ants.image_read(field), str(folder / name))
    return [end - begin for begin, end in zip(begun, ended, strict=True)]


def nearest_rigid(transform, fixed):
    """Return the rigid transform nearest to an affine one that carries the fixed center of mass to the same place.

    Args:
        transform: An affine transform of ANTs, fixed point to moving point.
        fixed: The fixed image.
    """
    import ants
    import numpy as np

    matrix, shift = np.reshape(transform.parameters[:9], (3, 3)), transform.parameters[9:]
    middle = np.array(ants.get_center_of_mass(fixed))
    left, _, right = np.linalg.svd(matrix)
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    target = matrix @ (middle - transform.fixed_parameters) + transform.fixed_parameters + shift
    return ants.create_ants_transform(
        transform_type="AffineTransform", matrix=rotation, center=middle, translation=target - middle
    )


def elastix_rigid(folder: Path) -> list:
    """Register rigidly only, otherwise as `elastix_bspline` does; both fields are the same."""
    return _elastix(folder, {"rigid": {}})


def elastix_bspline(folder: Path) -> list:
    """Register rigidly, then by B-splines, both by Mattes mutual information: elastix's default parameter files.

    These are those of its model zoo and SlicerElastix's preset for all kinds of images: four resolutions and 2048
    random points in every iteration, starting from the centers of the volumes.

    Args:
        folder: Holds the two volumes; the fields are written there.

    Returns:
        Wall clock and CPU seconds.
    """
    return _elastix(folder, {"rigid": {}, "bspline": {}})


def elastix_bending(folder: Path, grid_mm: float = ELASTIX_GRID_MM, bending_weight: float = 1.0) -> list:
    """Register rigidly as `elastix_bspline` does, then by B-splines with a penalty on bending.

    Args:
        folder: As above.
        grid_mm: Distance of the control points.
        bending_weight: Of the penalty, beside 1 of the mutual information.

    Returns:
        Wall clock and CPU seconds.
    """
    penalty = {
        "Registration": ["MultiMetricMultiResolutionRegistration"],
        "Metric": ["AdvancedMattesMutualInformation", "TransformBendingEnergyPenalty"],
        "Metric0Weight": ["1"],
        "Metric1Weight": [str(bending_weight)],
        "FinalGridSpacingInPhysicalUnits": [str(grid_mm)],
    }
    return _elastix(folder, {"rigid": {}, "bspline": penalty})


def _elastix(folder: Path, stages: dict[str, dict[str, list[str]]]) -> list:
    """Run elastix by its default parameters of each stage's kind, with what the stage changes in ours."""
    import itk

    fixed, moving = (itk.imread(str(folder / name), itk.F) for name in ("fixed.nrrd", "moving.nrrd"))
    parameters = itk.ParameterObject.New()
    for kind, changes in stages.items():
        chosen = parameters.GetDefaultParameterMap(kind, ELASTIX_RESOLUTIONS, ELASTIX_GRID_MM)
        ours = {
            "Registration": ["MultiResolutionRegistration"],
            "Metric": ["AdvancedMattesMutualInformation"],  # ITKElastix adds a penalty on bending
            "NumberOfHistogramBins": [str(BINS)],
            "ImageSampler": ["Random"],
            "FixedImagePyramid": ["FixedRecursiveImagePyramid"],
            "MovingImagePyramid": ["MovingRecursiveImagePyramid"],
            "MaximumNumberOfIterations": [str(ELASTIX_ITERATIONS[kind])],
            "AutomaticTransformInitialization": ["true"],
        }
        for name, values in (ours | changes).items():
            chosen[name] = values
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
    settings = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    methods = (ants_syn, ants_rigid_syn, ants_search, elastix_bspline, elastix_bending, elastix_rigid)
    seconds = {each.__name__: each for each in methods}[method](folder, **settings)
    (folder / "seconds.json").write_text(json.dumps(seconds))
