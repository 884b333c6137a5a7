"""Lists of points are read as Slicer reads them, and their distances after registration are as Slicer measures them."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromMarkupsControlPoints
from trame_slicer.core import SlicerApp

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.points import read_points
from BSAFusionLib.geometry.fields import fade_to_zero
from BSAFusionLib.mrml.convert import content_from_fields
from BSAFusionLib.mrml.landmarks import landmark_error as error_in_slicer
from BSAFusionLib.mrml.nodes import put_grid_transform
from BSAFusionLib.pipeline.landmarks import landmark_error
from BSAFusionLib.pipeline.result import Result
from Testing.markups import add_points, storage_node

POINTS_RAS = np.array([[1.5, -20.25, 30.0], [-40.0, 5.0, -6.125], [0.0, 0.5, 70.0]])


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    return SlicerApp().scene


@pytest.mark.parametrize("in_lps", [True, False])
@pytest.mark.parametrize("name", ["a.mrk.json", "a.fcsv"])
def test_points_are_those_that_slicer_saved(
    name: str, in_lps: bool, scene: slicer.vtkMRMLScene, tmp_path: Path
) -> None:
    storage = storage_node(scene, tmp_path / name)
    storage.UseLPSOn() if in_lps else storage.UseRASOn()
    assert storage.WriteData(add_points(scene, POINTS_RAS))
    assert ("LPS" in (tmp_path / name).read_text()) == in_lps
    np.testing.assert_allclose(read_points(tmp_path / name), POINTS_RAS * (-1, -1, 1), atol=1e-3)


def test_a_file_that_does_not_say_is_read_as_slicer_reads_it(scene: slicer.vtkMRMLScene, tmp_path: Path) -> None:
    path = tmp_path / "old.fcsv"
    path.write_text("# Markups fiducial file version = 4.10\n1,10.5,20,30,0,0,0,1,1,1,1,F-1,,\n")
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert storage_node(scene, path).ReadData(node)
    np.testing.assert_allclose(read_points(path), arrayFromMarkupsControlPoints(node) * (-1, -1, 1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mrk.json", "{}", "no list of points"),
        ("a.mrk.json", '{"markups": [{"controlPoints": []}]}', "has no points"),
        ("a.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}', "no list of points"),
        (
            "a.mrk.json",
            '{"markups": [{"controlPoints": [{"position": [0, 0, 0], "positionStatus": "undefined"}]}]}',
            "placed",
        ),
        ("a.fcsv", "1,2,3,4", "no list of points"),
        ("a.fcsv", "# Markups fiducial file version = 5\n1,x,3,4", "no list of points"),
        ("a.mrk.json", "{", "no list of points"),
        ("a.fcsv", "", "no list of points"),
        ("a.txt", "1 2 3", "no list of points"),
    ],
)
def test_what_holds_no_points_is_reported(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FusionError, match=message):
        read_points(tmp_path / name)


def test_a_missing_file_is_not_taken_for_one_of_the_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"There is no file .*none\.mrk\.json; check the path\."):
        read_points(tmp_path / "none.mrk.json")


def test_distances_agree_with_slicers(scene: slicer.vtkMRMLScene) -> None:
    grid = sitk.Image([36, 40, 44], sitk.sitkVectorFloat64, 3)
    grid.SetSpacing([5.0, 5.0, 5.0])  # so fine that Slicer's cubics and ITK's linear interpolation hardly differ
    grid.SetOrigin([-90.0, -100.0, -90.0])
    waves = np.sin(np.indices((44, 40, 36)) / 8.0)
    field = sitk.GetImageFromArray(np.moveaxis(4 * waves, 0, -1), isVector=True)
    field.CopyInformation(grid)
    rigid = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.1, -0.2, 0.15, (5.0, -3.0, 8.0))
    still = sitk.Image([36, 40, 44], sitk.sitkFloat32)
    still.CopyInformation(grid)
    result = Result(still, still, fade_to_zero(field), rigid, None, field, still, rigid, still, still)
    moving_ras = POINTS_RAS + np.array((3.0, -2.0, 1.0))
    found = landmark_error(POINTS_RAS * (-1, -1, 1), moving_ras * (-1, -1, 1), result)

    content = content_from_fields(result.coarse_field(), result.network_field, result.prealignment, np.eye(4))
    node = put_grid_transform(scene, content, "result")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    expected = error_in_slicer(add_points(scene, POINTS_RAS), add_points(scene, moving_ras), volume, node)
    for name in ("mean_before", "largest_before", "mean_after", "largest_after"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=0.01), name


def test_lists_of_different_lengths_are_rejected() -> None:
    with pytest.raises(FusionError, match="3 landmarks on the fixed volume and 2"):
        landmark_error(POINTS_RAS, POINTS_RAS[:2], None)
