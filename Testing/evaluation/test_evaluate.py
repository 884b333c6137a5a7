"""The command that measures on known motions prints and writes a row a case."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.__main__ import main
from BSAFusionLib.network.bsafusion import BSAFusion, Metadata
from BSAFusionLib.network.checkpoints import save_network


@pytest.fixture
def volumes(tmp_path):
    """A folder with a coarse egg of a head as MRI, PET and CT."""
    z, y, x = (np.mgrid[:32, :36, :32] - np.array((15.5, 17.5, 15.5)).reshape(3, 1, 1, 1)) * 6.0
    depth = 1 - np.sqrt((x / 65) ** 2 + (y / 85) ** 2 + (z / 75) ** 2)
    inner = 1 - np.sqrt(((x - 15) / 20) ** 2 + ((y + 30) / 30) ** 2 + ((z - 20) / 20) ** 2)
    head, spot = (np.clip(part * 60 / 8, -4, 4) for part in (depth, inner))
    head, spot = (1 / (1 + np.exp(-2 * part)) for part in (head, spot))
    for name, values in (
        ("mri_t1", 100 * head - 60 * spot),
        ("pet", 20 * head + 80 * spot),
        ("ct", -1000 + 1035 * head + 30 * spot),
    ):
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.SetSpacing((6.0, 6.0, 6.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    return tmp_path


def test_evaluate_writes_the_error_before_and_after_for_every_case(volumes, capsys):
    weights, figures = volumes / "random.safetensors", volumes / "out" / "figures.json"
    torch.manual_seed(0)
    save_network(weights, BSAFusion(Metadata(size=32)))
    options = ["--seeds", "1", "--device", "cpu", "--weights", str(weights), "--json", str(figures)]
    assert main(["evaluate", "--volumes", str(volumes), *options]) == 0

    rows = json.loads(figures.read_text(encoding="utf-8"))["volumes"]
    assert [(row["modality"], row["seed"]) for row in rows] == [("pet", None), ("pet", 0), ("ct", None), ("ct", 0)]
    for row in rows:
        assert (row["before"] == 0) == (row["seed"] is None)
        assert row["prealigned"] >= 0 and row["after"] != row["prealigned"]
    moved = rows[1]
    assert moved["prealigned"] < moved["before"]
    assert f"{moved['before']:.2f}" in capsys.readouterr().out


def test_evaluate_says_which_volume_is_missing(volumes, capsys):
    (volumes / "mri_t1.nii.gz").unlink()
    assert main(["evaluate", "--volumes", str(volumes)]) == 2
    assert "mri_t1.nii.gz" in capsys.readouterr().err
