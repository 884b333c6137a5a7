"""A folder of results that `fuse` wrote of two small volumes, with weights that nobody trained."""

from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import save_network
from Testing.phantoms import head


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    turn = sitk.Euler3DTransform((80.0, 90.0, 40.0), 0.1, 0.0, 0.3, (10.0, 4.0, 0.0))
    fixed = head(0)
    sitk.WriteImage(fixed, str(folder / "mri.nii.gz"))
    sitk.WriteImage(sitk.Resample(fixed, turn), str(folder / "pet.nii.gz"))
    torch.manual_seed(0)
    save_network(folder / "weights.safetensors", BSAFusion(Metadata(modality="pet")))
    volumes = [str(folder / name) for name in ("mri.nii.gz", "pet.nii.gz")]
    options = ["--modality", "pet", "--one-axis", "--weights", str(folder / "weights.safetensors")]
    assert main(["fuse", *volumes, *options, "--out", str(folder / "result")]) == 0
    return folder / "result"
