"""Volumes as no scanner makes them are processed, or rejected with a clear error."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.volumes import read_volume
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.settings import Settings
from Testing.phantoms import coarse_head

sheared, sheared_back = (
    matrix / np.linalg.norm(matrix, axis=0)
    for matrix in (np.array([[1, 0.4, 0], [0, 1, 0.2], [0, 0, 1]]), np.array([[1, 0, 0], [0.4, 1, 0], [0, 0.2, 1]]))
)


def numbers(image: sitk.Image, factor: float, kind: int) -> sitk.Image:
    """Multiply the values of an image in float64, then convert it to another pixel type."""
    scaled = sitk.GetImageFromArray(sitk.GetArrayFromImage(image).astype(np.float64) * factor)
    scaled.CopyInformation(image)
    return sitk.Cast(scaled, kind)


def pair(**grid):
    return coarse_head("mri", **grid), coarse_head("pet", **grid)


odd_pairs = {
    "two slices": pair(size=(24, 26, 2)),
    "two columns": pair(size=(2, 26, 20)),
    "moving of two slices": (coarse_head(), coarse_head("pet", (24, 26, 2))),
    "voxels of 0.05 mm": pair(spacing=(0.05, 0.05, 0.05)),
    "voxels of 50 mm": pair(size=(6, 7, 6), spacing=(50.0, 50.0, 50.0)),
    "sheared": (coarse_head(directions=sheared), coarse_head("pet", directions=sheared_back)),
    "huge": [numbers(image, 1e34, sitk.sitkFloat32) for image in pair()],
    "denormal": [numbers(image, 1e-44, sitk.sitkFloat32) for image in pair()],
    "denormal in double precision": [numbers(image, 1e-312, sitk.sitkFloat64) for image in pair()],
}


@pytest.fixture(autouse=True)
def denormals() -> None:
    """Keep the smallest numbers: `train`, in an earlier test of this process, has the CPU round them to zero."""
    torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("name", "prealignment"),
    # A volume of 1.2 m is searched for a head for half a minute.
    [(name, "none") for name in odd_pairs]
    + [(name, "rigid") for name in odd_pairs if name not in ("denormal", "voxels of 50 mm")],
)
def test_an_odd_pair_gives_finite_results_on_the_fixed_grid(name, prealignment, weights):
    fixed, moving = odd_pairs[name]
    settings = Settings("pet", weights=weights, prealignment=prealignment, do_no_harm=False, device="cpu")
    assert_finite_on_grid(register_and_fuse(fixed, moving, settings), fixed)


def assert_finite_on_grid(result: Result, fixed: sitk.Image) -> None:
    for image in (result.fused, result.registered, result.field):
        assert image.IsSameImageGeometryAs(fixed)
        assert np.isfinite(sitk.GetArrayViewFromImage(image)).all()
    json.dumps(result.report.as_dict(), allow_nan=False)


def test_values_beyond_the_limit_count_as_not_finite(weights):
    fixed, moving = pair()
    padded = sitk.Image(moving)
    padded[0:3, 0:3, 0:3] = float(np.finfo(np.float32).max)  # outside of the head
    settings = Settings("pet", weights=weights, prealignment="none", do_no_harm=False, device="cpu")
    found, expected = register_and_fuse(fixed, padded, settings), register_and_fuse(fixed, moving, settings)
    assert any(
        warning.startswith("27 voxels of the moving volume were not finite") for warning in found.report.warnings
    )
    assert expected.deforms
    np.testing.assert_allclose(*(sitk.GetArrayViewFromImage(result.field) for result in (found, expected)), atol=1e-3)


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_a_single_slice_is_rejected(name, weights):
    volumes = {"fixed": coarse_head(), "moving": coarse_head("pet")}
    volumes[name] = volumes[name][:, :, 10:11]
    with pytest.raises(FusionError, match=f"The {name} volume has a single slice"):
        register_and_fuse(*volumes.values(), Settings("pet", weights=weights, device="cpu"))


@pytest.mark.parametrize("thickness", [1e-42, 1e-6, 1e5])
def test_a_voxel_size_that_cannot_be_is_rejected(thickness, weights):
    odd = coarse_head("pet")
    odd.SetSpacing((8.0, 8.0, thickness))
    with pytest.raises(FusionError, match=r"Voxel size .* mm along k of the moving volume is invalid"):
        register_and_fuse(coarse_head(), odd, Settings("pet", weights=weights, device="cpu"))


@pytest.mark.parametrize("slant", [1e5, np.diag((1.0, 1.0, 1e-9))])
def test_axes_that_cannot_be_are_rejected(slant, weights):
    odd = coarse_head("pet")
    odd.SetDirection(np.ravel(slant if np.ndim(slant) else np.eye(3) + slant * np.eye(3, k=1)).tolist())
    with pytest.raises(FusionError, match="The axes of the moving volume"):
        register_and_fuse(coarse_head(), odd, Settings("pet", weights=weights, device="cpu"))


@pytest.mark.parametrize("length", [0.5, 1.01])
def test_a_direction_that_is_not_of_length_one_is_rejected(length, weights):
    odd = coarse_head("pet", directions=np.diag((1.0, length, 1.0)))
    with pytest.raises(FusionError, match=rf"along j of the moving volume has the length {length}, not 1"):
        register_and_fuse(coarse_head(), odd, Settings("pet", weights=weights, device="cpu"))


@pytest.mark.parametrize("lengths", [(0.5, 0.5, 0.5), (1.0, 1.25, 0.1)])
def test_a_metaimage_whose_directions_are_not_of_length_one_keeps_its_places(lengths, tmp_path):
    image = coarse_head(directions=np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    image.SetDirection((np.reshape(image.GetDirection(), (3, 3)) * lengths).ravel().tolist())
    image.SetSpacing(np.divide(image.GetSpacing(), lengths).tolist())
    sitk.WriteImage(image, str(tmp_path / "volume.mha"))
    found = read_volume(tmp_path / "volume.mha")
    assert np.linalg.norm(np.reshape(found.GetDirection(), (3, 3)), axis=0) == pytest.approx(np.ones(3), abs=1e-9)
    assert found.GetSpacing() == pytest.approx((5, 5, 6))
    assert found.GetSize() == image.GetSize()
    for index in ((0, 0, 0), (23, 25, 19)):
        assert found.TransformIndexToPhysicalPoint(index) == pytest.approx(image.TransformIndexToPhysicalPoint(index))


def test_a_fixed_volume_without_a_head_is_rejected(weights):
    voxels = pair(size=(2, 2, 2), spacing=(60.0, 60.0, 60.0))
    with pytest.raises(FusionError, match="No head was detected"):
        register_and_fuse(*voxels, Settings("pet", weights=weights, prealignment="none", device="cpu"))


def test_a_file_whose_axes_have_no_bounds_is_rejected_at_once(tmp_path):
    sitk.WriteImage(coarse_head(), str(tmp_path / "volume.mha"))
    content = (tmp_path / "volume.mha").read_bytes()
    assert b"TransformMatrix = 1 0 0 0 1 0 0 0 1" in content
    (tmp_path / "volume.mha").write_bytes(content.replace(b"= 1 0 0 0 1 0 0 0 1", b"= 1 0 0 0 1 0 1e308 0 1"))
    with pytest.raises(FusionError, match=r"volume\.mha are not finite directions"):
        read_volume(tmp_path / "volume.mha")


@pytest.mark.parametrize("dimensions", ["0", "-1", "11", "99999999999999999999", "3\nNDims = 99999999", ""])
def test_a_metaimage_of_more_dimensions_than_can_be_is_rejected_and_brings_nothing_down(dimensions, tmp_path):
    sitk.WriteImage(coarse_head(), str(tmp_path / "volume.mha"))
    content = (tmp_path / "volume.mha").read_bytes()
    assert b"NDims = 3" in content
    (tmp_path / "volume.mha").write_bytes(content.replace(b"NDims = 3", f"NDims = {dimensions}".encode()))
    with pytest.raises(FusionError, match=r"volume\.mha cannot be read"):
        read_volume(tmp_path / "volume.mha")


def test_a_file_whose_axes_are_not_at_right_angles_is_straightened_and_keeps_its_places(tmp_path):
    image = sitk.Cast(coarse_head(directions=sheared), sitk.sitkFloat32)
    sitk.WriteImage(image, str(tmp_path / "sheared.nrrd"))
    found = read_volume(tmp_path / "sheared.nrrd")
    axes = np.reshape(found.GetDirection(), (3, 3))
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-9)
    values = sitk.GetArrayFromImage(image)
    for index in ((12, 13, 10), (9, 11, 8), (14, 15, 12)):
        there = image.TransformIndexToPhysicalPoint(index)
        value = found.EvaluateAtPhysicalPoint(there, sitk.sitkLinear)
        assert value == pytest.approx(values[index[::-1]], abs=0.1 * float(np.ptp(values)))
