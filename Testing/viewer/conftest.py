"""A folder of results that `fuse` wrote of two small volumes, with weights that nobody trained."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from BSAFusionLib.files.outputs import Names
from BSAFusionLib.files.volumes import write_transform
from BSAFusionLib.geometry.fields import displacement_transform
from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.pipeline.expected_error import inside_head
from BSAFusionLib.pipeline.intensities import head_mask
from BSAFusionLib.pipeline.report import ExpectedError
from Testing.phantoms import save_untrained, small_head

ERROR_MM = 0.75  # in the middle of `known_error`
BENT_MM = 6.0


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    turn = sitk.Euler3DTransform((80.0, 90.0, 40.0), 0.1, 0.0, 0.3, (10.0, 4.0, 0.0))
    fixed = small_head(0)
    sitk.WriteImage(fixed, str(folder / "mri.nii.gz"))
    sitk.WriteImage(sitk.Resample(fixed, turn), str(folder / "pet.nii.gz"))
    save_untrained(folder / "weights.safetensors", modality="pet")
    volumes = [str(folder / name) for name in ("mri.nii.gz", "pet.nii.gz")]
    options = ["--modality", "pet", "--one-axis", "--weights", str(folder / "weights.safetensors")]
    assert main(["fuse", *volumes, *options, "--out", str(folder / "result")]) == 0
    return folder / "result"


@pytest.fixture(scope="session")
def bent_result(result: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result as calibrated weights that bend something would leave it: with a network's part and an error map."""
    folder = shutil.copytree(result.parent, tmp_path_factory.mktemp("bent") / "case") / "result"
    fixed = sitk.ReadImage(str(folder.parent / "mri.nii.gz"))
    network = bent_field(fixed)
    rigid = sitk.ReadTransform(str(folder / Names.rigid))
    write_transform(sitk.CompositeTransform([rigid, displacement_transform(network)]), folder / Names.deformation)
    sitk.WriteImage(known_error(fixed), str(folder / Names.expected_error))
    report = json.loads((folder / Names.report).read_text())
    report["files"]["expected_error"] = Names.expected_error
    report["expected_error"] = asdict(ExpectedError(ERROR_MM))
    report["verdict"] |= {"doubtful": False, "reasons": []}  # otherwise the page states no expected error
    report["overlay"]["unit"] = "SUV"
    (folder / Names.report).write_text(json.dumps(report))
    return folder


def known_error(fixed: sitk.Image) -> sitk.Image:
    """Make a map of expected errors that grow from right to left, by 0.5 mm over the volume."""
    head = head_mask(fixed)
    values = np.broadcast_to(np.linspace(ERROR_MM - 0.25, ERROR_MM + 0.25, fixed.GetWidth()), fixed.GetSize()[::-1])
    return inside_head(_on(fixed, values), head)


def bent_field(fixed: sitk.Image) -> sitk.Image:
    """Make a field that moves the middle of the volume by BENT_MM and its border by nothing."""
    lattice = lattice_over(fixed, [10.0] * 3)
    hills = [np.sin(np.linspace(0, np.pi, count)) for count in lattice.GetSize()[::-1]]
    values = np.zeros((*(len(hill) for hill in hills), 3))
    values[..., 1] = BENT_MM * np.einsum("i,j,k->ijk", *hills)
    return _on(lattice, values)


def _on(lattice: sitk.Image, values: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(values, isVector=values.ndim == 4)
    image.CopyInformation(lattice)
    return image
