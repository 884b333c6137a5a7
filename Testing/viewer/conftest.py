"""A folder of results that `fuse` wrote of two small volumes, with weights that nobody trained."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from BSAFusionLib.__main__ import main
from Testing.phantoms import save_untrained, small_head


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
