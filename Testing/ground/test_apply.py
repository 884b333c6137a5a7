"""`apply` carries images, points and models as its users mean it, and equals ITK."""

import bz2
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkIOGeometry import vtkSTLWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from BSAFusionLib import __main__ as command_line
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.dynamic import read_dynamic
from BSAFusionLib.files.nifti_header import TIME_UNIT_BITS, clear_time, read_header
from BSAFusionLib.files.points import read_points
from BSAFusionLib.files.transforms import read_transform
from BSAFusionLib.geometry.fields import fade_to_zero
from BSAFusionLib.geometry.inverse import carry_points


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds fixed.nrrd, moving.nrrd (float), labels.nii.gz, and a deformation.h5 from fixed to moving points."""
    random = np.random.default_rng(0)
    fixed = sitk.GetImageFromArray(random.random((20, 24, 22)).astype(np.float32))
    fixed.SetSpacing([4, 3, 5])
    fixed.SetOrigin([-40, -36, -50])
    moving = sitk.GetImageFromArray(100 + random.random((18, 20, 26)).astype(np.float32))
    moving.SetSpacing([4, 4, 5])
    moving.SetOrigin([-45, -40, -45])
    codes = np.zeros((18, 20, 26), np.int16)
    codes[4:14, 5:15, 5:20], codes[6:12, 7:12, 8:15] = 17, 2035
    labels = sitk.GetImageFromArray(codes)
    labels.CopyInformation(moving)
    vectors = np.zeros((20, 24, 22, 3))
    vectors[8:12, 8:16, 8:14] = 3, -2, 1
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(fixed)
    rigid = sitk.Euler3DTransform()
    rigid.SetRotation(0.05, 0.1, -0.1)
    rigid.SetTranslation([4, 2, -3])
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(fade_to_zero(field), sitk.sitkVectorFloat32), 6.0)
    displacement = sitk.DisplacementFieldTransform(sitk.Cast(smooth, sitk.sitkVectorFloat64))
    for name, image in (("fixed.nrrd", fixed), ("moving.nrrd", moving), ("labels.nii.gz", labels)):
        sitk.WriteImage(image, str(tmp_path / name))
    sitk.WriteTransform(sitk.CompositeTransform([rigid, displacement]), str(tmp_path / "deformation.h5"))
    return tmp_path


def run_apply(folder: Path, *arguments: str) -> int:
    paths = [argument if argument.startswith("-") else str(folder / argument) for argument in arguments]
    return command_line.main(["apply", str(folder / "deformation.h5"), *paths])


def test_a_segmentation_keeps_its_segments(folder: Path) -> None:
    """Two that overlap, in layers; read back by Slicer itself."""
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name, low, high in (("Tumor", 4, 12), ("Brain", 6, 16)):
        layer = slicer.vtkOrientedImageData()
        layer.SetDimensions(26, 20, 18)
        layer.AllocateScalars(VTK_UNSIGNED_CHAR, 1)
        layer.SetSpacing(4, 4, 5)
        layer.SetDirections([[-1, 0, 0], [0, -1, 0], [0, 0, 1]])
        layer.SetOrigin(45, 40, -45)  # RAS
        voxels = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(18, 20, 26)
        voxels[:] = 0
        voxels[low:high, low:high, low:high] = 1
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(0.2, 0.4, 0.6)
        segment.AddRepresentation("Binary labelmap", layer)
        node.GetSegmentation().AddSegment(segment)
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(folder / "drawn.seg.nrrd"))
    assert storage.WriteData(node)

    assert run_apply(folder, "drawn.seg.nrrd", "--reference", "fixed.nrrd", "--out", "out") == 0
    carried = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage.SetFileName(str(folder / "out" / "drawn.seg.nrrd"))
    assert storage.ReadData(carried)
    fixed, transform = sitk.ReadImage(str(folder / "fixed.nrrd")), sitk.ReadTransform(str(folder / "deformation.h5"))
    drawn = sitk.ReadImage(str(folder / "drawn.seg.nrrd"))
    expected = sitk.GetArrayFromImage(sitk.Resample(drawn, fixed, transform, sitk.sitkNearestNeighbor))
    for number, name in enumerate(("Tumor", "Brain")):
        segment = carried.GetSegmentation().GetNthSegment(number)
        assert segment.GetName() == name
        assert segment.GetColor() == pytest.approx((0.2, 0.4, 0.6))
        layer = segment.GetRepresentation("Binary labelmap")
        shown = vtk_to_numpy(layer.GetPointData().GetScalars()) == segment.GetLabelValue()
        assert np.count_nonzero(shown) == np.count_nonzero(expected[..., number]) > 300
    bounds = np.zeros(6)
    carried.GetRASBounds(bounds)
    np.testing.assert_allclose(bounds, (-46, 42, -34.5, 37.5, -52.5, 47.5), atol=1e-6)  # those of the fixed grid


def test_images_equal_itks_own_and_label_maps_stay_whole(folder: Path) -> None:
    assert run_apply(folder, "moving.nrrd", "labels.nii.gz", "--reference", "fixed.nrrd", "--out", "out") == 0
    moving, fixed, labels = (
        sitk.ReadImage(str(folder / name)) for name in ("moving.nrrd", "fixed.nrrd", "labels.nii.gz")
    )
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    lowest = float(sitk.GetArrayFromImage(moving).min())
    expected = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, lowest)
    got = sitk.ReadImage(str(folder / "out" / "moving.nrrd"))
    assert np.abs(sitk.GetArrayFromImage(got) - sitk.GetArrayFromImage(expected)).max() < 1e-4
    carried = sitk.ReadImage(str(folder / "out" / "labels.nii.gz"))
    nearest = sitk.Resample(labels, fixed, transform, sitk.sitkNearestNeighbor, 0)
    assert set(np.unique(sitk.GetArrayFromImage(carried))) == {0, 17, 2035}
    assert (sitk.GetArrayFromImage(carried) == sitk.GetArrayFromImage(nearest)).all()
    assert carried.GetPixelID() == sitk.sitkInt16


def test_a_lesion_lands_at_one_place_as_labels_as_a_point_and_as_a_surface(folder: Path) -> None:
    center = np.array([3.0, -4.0, 0.0])  # of the moving volume, LPS
    fine = sitk.Image(80, 80, 80, sitk.sitkInt16)
    fine.SetOrigin([-40, -40, -40])
    points = sitk.GetArrayFromImage(sitk.PhysicalPointSource(sitk.sitkVectorFloat64, fine.GetSize(), fine.GetOrigin()))
    labels = sitk.GetImageFromArray((np.linalg.norm(points - center, axis=-1) < 4).astype(np.int16))
    labels.CopyInformation(fine)
    sitk.WriteImage(labels, str(folder / "lesion.nii.gz"))
    sitk.WriteImage(fine, str(folder / "grid.nrrd"))
    control_points = [{"id": "1", "label": "lesion", "position": center.tolist()}]
    markups = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": control_points}
    (folder / "lesion.mrk.json").write_text(json.dumps({"markups": [markups]}), encoding="utf-8")
    sphere = vtkSphereSource()
    sphere.SetRadius(4)
    sphere.SetCenter(*(center * (-1, -1, 1)).tolist())  # Slicer's scene is in RAS
    sphere.SetThetaResolution(24)
    sphere.SetPhiResolution(24)
    sphere.Update()
    saved_by_slicer(folder / "lesion.vtp", sphere.GetOutput())
    images = ("lesion.nii.gz", "lesion.mrk.json", "lesion.vtp")
    assert run_apply(folder, *images, "--reference", "grid.nrrd", "--out", "out") == 0
    carried = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "lesion.nii.gz"))) > 0
    as_labels = points[carried].mean(axis=0)
    (as_point,) = read_points(folder / "out" / "lesion.mrk.json")
    as_surface = opened_in_slicer(folder / "out" / "lesion.vtp").mean(axis=0)
    assert np.linalg.norm(as_point - center) > 3  # it moved
    assert np.linalg.norm(as_labels - as_point) < 0.5
    assert np.linalg.norm(as_labels - as_surface) < 0.5


def test_a_file_that_says_it_holds_labels_is_believed(folder: Path) -> None:
    noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 9, (18, 20, 26)).astype(np.int16))
    noise.CopyInformation(sitk.ReadImage(str(folder / "moving.nrrd")))
    path = folder / "labels.nii"
    sitk.WriteImage(noise, str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 68, 1002)  # intent_code: NIFTI_INTENT_LABEL
    path.write_bytes(content)
    assert run_apply(folder, "labels.nii", "--reference", "fixed.nrrd", "--out", "out") == 0
    fixed, labels = (sitk.ReadImage(str(folder / name)) for name in ("fixed.nrrd", "labels.nii"))
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    nearest = sitk.Resample(labels, fixed, transform, sitk.sitkNearestNeighbor, 0)
    carried = sitk.ReadImage(str(folder / "out" / "labels.nii"))
    assert (sitk.GetArrayFromImage(carried) == sitk.GetArrayFromImage(nearest)).all()


def test_label_maps_of_floats_and_of_small_objects_keep_their_values_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """As fslmaths and nibabel's get_fdata leave them, and lesions of 8 voxels; a PET of few counts is no label map."""
    moving = sitk.ReadImage(str(folder / "moving.nrrd"))
    codes = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz")))
    lesions = np.zeros_like(codes)
    random = np.random.default_rng(0)
    for label in range(1, 13):
        k, j, i = random.integers(3, 14, 3)
        lesions[k : k + 2, j : j + 2, i : i + 2] = 3 * label
    counts = random.poisson(2, codes.shape) * (codes > 0)
    maps = {"f32.nii.gz": codes.astype(np.float32), "f64.nii.gz": codes.astype(float), "lesions.nii.gz": lesions}
    for name, values in {**maps, "counts.nii.gz": counts.astype(np.int16)}.items():
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(moving)
        sitk.WriteImage(image, str(folder / name))
    assert run_apply(folder, *maps, "counts.nii.gz", "--reference", "fixed.nrrd", "--out", "out") == 0
    said = capsys.readouterr().err
    for name, values in maps.items():
        carried = sitk.ReadImage(str(folder / "out" / name))
        assert set(np.unique(sitk.GetArrayFromImage(carried))) <= set(np.unique(values))
        assert carried.GetPixelID() == sitk.ReadImage(str(folder / name)).GetPixelID()
        reason = "since its values look like those of a label map"
        assert f"{name} is resampled to the nearest voxel, {reason}.\n" in said
    linear = "counts.nii.gz is resampled linearly, since its values do not look like those of a label map.\n"
    assert linear in said


@pytest.mark.parametrize("intent", [0, 1002])
def test_a_label_map_of_several_frames_stays_whole(folder: Path, intent: int, capsys: pytest.CaptureFixture) -> None:
    """Regions by their values, with an empty frame, and noise by the header alone: NIFTI_INTENT_LABEL."""
    labels = sitk.ReadImage(str(folder / "labels.nii.gz"))
    if intent:
        noise = np.random.default_rng(0).integers(0, 9, labels.GetSize()[::-1]).astype(np.int16)
        frame = sitk.GetImageFromArray(noise)
        frame.CopyInformation(labels)
    else:
        frame = labels
    path = folder / "frames.nii"
    sitk.WriteImage(sitk.JoinSeries([frame, frame * 0, frame]), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 68, intent)  # intent_code
    path.write_bytes(content)
    assert run_apply(folder, "frames.nii", "--reference", "fixed.nrrd", "--out", "out") == 0
    reason = "its header calls it a label map" if intent else "its values look like those of a label map"
    assert f"frames.nii is resampled to the nearest voxel, since {reason}.\n" in capsys.readouterr().err
    fixed, transform = sitk.ReadImage(str(folder / "fixed.nrrd")), sitk.ReadTransform(str(folder / "deformation.h5"))
    nearest = sitk.GetArrayFromImage(sitk.Resample(frame, fixed, transform, sitk.sitkNearestNeighbor, 0))
    carried = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "frames.nii")))
    assert (carried == [nearest, nearest * 0, nearest]).all()


def time_in_header(path: Path) -> tuple[float, float, int]:
    """Return step and beginning of time, and their unit, in the header of a NIfTI."""
    fields = read_header(path).fields
    return fields["pixdim"][4], fields["first_time"], fields["units"] & TIME_UNIT_BITS


@pytest.mark.parametrize("name", ["pet.nii", "pet.nii.gz"])
def test_the_header_of_frames_states_a_step_only_if_there_is_an_even_one(folder: Path, name: str) -> None:
    fixed = ("--reference", "fixed.nrrd", "--out", "out")
    moving = sitk.ReadImage(str(folder / "moving.nrrd"))
    frames = sitk.JoinSeries([moving, moving * 2, moving * 3], 30.0, 300.0)
    sitk.WriteImage(frames, str(folder / name))
    assert run_apply(folder, name, *fixed) == 0
    assert time_in_header(folder / "out" / name) == (300, 30, 8)  # of the header; 8 is the second
    assert json.loads((folder / "out" / "pet.json").read_text())["FrameTimesStart"] == [30, 330, 630]
    even = {"FrameTimesStart": [5, 25, 45]}
    equal = {"FrameDuration": [20, 20, 20]}
    uneven = {"FrameTimesStart": [0, 10, 40]}
    unlike = {"FrameTimesStart": [0, 10, 20], "FrameDuration": [10, 10, 60]}
    stated = [(even, (20, 5, 8)), (equal, (20, 0, 8)), (uneven, (0, 0, 0)), (unlike, (0, 0, 0))]
    for times, expected in stated:
        (folder / "pet.json").write_text(json.dumps(times), encoding="utf-8")
        assert run_apply(folder, name, *fixed) == 0
        assert time_in_header(folder / "out" / name) == expected
        assert json.loads((folder / "out" / "pet.json").read_text()) == {**times, "Frames": 3}
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / name)))
        assert written[2] == pytest.approx(3 * written[0])
    assert {path.name for path in (folder / "out").iterdir()} == {name, "pet.json"}


def test_no_time_is_invented_where_none_is_known(folder: Path) -> None:
    moving = sitk.ReadImage(str(folder / "moving.nrrd"))
    sitk.WriteImage(sitk.JoinSeries([moving, moving]), str(folder / "pet.nii"))
    clear_time(folder / "pet.nii")
    assert run_apply(folder, "pet.nii", "--reference", "fixed.nrrd", "--out", "out") == 0
    assert time_in_header(folder / "out" / "pet.nii") == (0, 0, 0)
    _, frames = read_dynamic(folder / "out" / "pet.nii", None)
    assert frames.starts == frames.durations == ()


def test_the_interpolation_can_be_chosen(folder: Path) -> None:
    choice = ("--reference", str(folder / "fixed.nrrd"), "--interpolation", "bspline")
    names = [str(folder / name) for name in ("deformation.h5", "moving.nrrd")]
    # A name with the image's ending is the file itself.
    assert command_line.main(["apply", *names, *choice, "--out", str(folder / "spline.nrrd")]) == 0
    moving, fixed = (sitk.ReadImage(str(folder / name)) for name in ("moving.nrrd", "fixed.nrrd"))
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    lowest = float(sitk.GetArrayFromImage(moving).min())
    expected = sitk.Resample(moving, fixed, transform, sitk.sitkBSpline, lowest)
    got = sitk.ReadImage(str(folder / "spline.nrrd"))
    assert np.abs(sitk.GetArrayFromImage(got) - sitk.GetArrayFromImage(expected)).max() < 1e-4


def test_every_frame_of_a_dynamic_pet_equals_itks_own_and_keeps_its_time(folder: Path) -> None:
    moving, fixed = (sitk.ReadImage(str(folder / name)) for name in ("moving.nrrd", "fixed.nrrd"))
    frames = [moving * level for level in (1.0, 3.0)]
    sitk.WriteImage(sitk.JoinSeries(frames), str(folder / "pet.nii.gz"))
    times = {"FrameTimesStart": [0, 10], "FrameDuration": [10, 30]}
    (folder / "pet.json").write_text(json.dumps(times), encoding="utf-8")
    assert run_apply(folder, "pet.nii.gz", "--reference", "fixed.nrrd", "--out", "out") == 0
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    carried = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "pet.nii.gz")))
    for got, frame in zip(carried, frames, strict=True):
        lowest = float(sitk.GetArrayFromImage(frame).min())
        expected = sitk.GetArrayFromImage(sitk.Resample(frame, fixed, transform, sitk.sitkLinear, lowest))
        assert np.abs(got - expected).max() < 1e-4 * expected.max()
    assert json.loads((folder / "out" / "pet.json").read_text()) == {**times, "Frames": 2}
    assert run_apply(folder, "pet.nii.gz", "--reference", "fixed.nrrd", "--out", "pet.nii.gz") == 2  # the input


def test_an_image_goes_there_and_back(folder: Path) -> None:
    y, x, z = np.mgrid[:20, :24, :22] / 4.0
    image = sitk.ReadImage(str(folder / "fixed.nrrd"))
    smooth = sitk.GetImageFromArray((np.sin(x) + np.cos(y) + np.sin(z)).astype(np.float32))
    smooth.CopyInformation(image)
    sitk.WriteImage(smooth, str(folder / "fixed.nrrd"))
    assert run_apply(folder, "fixed.nrrd", "--inverse", "--reference", "moving.nrrd", "--out", "there.nrrd") == 0
    assert run_apply(folder, "there.nrrd", "--reference", "fixed.nrrd", "--out", "back.nrrd") == 0
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "back.nrrd")))
    inner = (slice(6, 14), slice(7, 17), slice(7, 15))
    assert np.abs(back - sitk.GetArrayFromImage(smooth))[inner].mean() < 0.03
    there = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "there.nrrd")))
    assert np.abs(there[2:18, 2:18, 2:20] - there[2:18, 2:18, 2:20].mean()).mean() > 0.2


POINTS = np.array([[5.0, -4.0, 3.0], [-12.5, 9.0, -8.0]])  # fixed points, LPS


def test_what_is_carried_through_a_doubtful_result_comes_with_the_doubt(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = "labels.nii.gz", "--reference", "fixed.nrrd", "--out", "carried.nii.gz"
    verdict = {"doubtful": True, "reasons": ["The first."]}
    for name, files, doubt in (
        ("report.json", {"deformation": "deformation.h5"}, "deformation.h5 belongs to a doubtful result. Doubtful:"),
        ("sub-1_report.json", {"deformation": "deformation.h5"}, "Doubtful: The first."),
        ("report.json", {"deformation": "another.h5"}, ""),
        ("report.json", ["of another program"], ""),
    ):
        (folder / name).write_text(json.dumps({"files": files, "verdict": verdict}))
        assert run_apply(folder, *arguments) == 0
        (folder / name).unlink()
        said = capsys.readouterr().err
        assert (doubt in said) if doubt else ("oubtful" not in said)


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_points_land_on_the_fixed_volume_and_keep_their_names(folder: Path, system: str) -> None:
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    flip = np.array([-1, -1, 1]) if system == "RAS" else 1
    on_moving = carry_points(transform, POINTS) * flip
    control_points = [
        {"id": str(number), "label": f"P {number}", "position": point}
        for number, point in enumerate(on_moving.tolist())
    ]
    control_points.append({"id": "9", "label": "later", "position": [0, 0, 0], "positionStatus": "undefined"})
    markups = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": control_points}
    (folder / "points.mrk.json").write_text(json.dumps({"markups": [markups]}), encoding="utf-8")
    rows = [f"p{n},{x!r},{y!r},{z!r},0,0,0,1,1,1,0,F-{n},,," for n, (x, y, z) in enumerate(on_moving.tolist())]
    header = [
        "# Markups fiducial file version = 5.10",
        f"# CoordinateSystem = {system}",
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID",
    ]
    (folder / "points.fcsv").write_text("\n".join(header + rows) + "\n", encoding="utf-8")
    assert run_apply(folder, "points.mrk.json", "points.fcsv", "--out", "out") == 0
    content = json.loads((folder / "out" / "points.mrk.json").read_text())["markups"][0]
    assert content["coordinateSystem"] == system
    assert [point["label"] for point in content["controlPoints"]] == ["P 0", "P 1", "later"]
    placed = [point["position"] for point in content["controlPoints"][:2]]
    assert np.allclose(np.array(placed) * flip, POINTS, atol=1e-3)
    assert np.allclose(read_points(folder / "out" / "points.fcsv"), POINTS, atol=1e-3)
    assert "F-1" in (folder / "out" / "points.fcsv").read_text()


def saved_by_slicer(path: Path, points: vtkPolyData) -> None:
    scene = slicer.vtkMRMLScene()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObservePolyData(points)
    storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(path))
    assert storage.WriteData(model) == 1


def opened_in_slicer(path: Path) -> np.ndarray:
    """Return the points of a model as Slicer reads it, LPS."""
    scene = slicer.vtkMRMLScene()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(model) == 1
    return vtk_to_numpy(model.GetPolyData().GetPoints().GetData()).astype(float) * (-1, -1, 1)


@pytest.mark.parametrize("suffix", [".vtp", ".stl"])
def test_a_model_of_slicer_lands_on_the_fixed_volume(folder: Path, suffix: str) -> None:
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    sphere = vtkSphereSource()
    sphere.SetRadius(12)
    sphere.SetCenter(3, 5, -2)
    sphere.Update()
    saved_by_slicer(folder / f"ball{suffix}", sphere.GetOutput())
    assert run_apply(folder, f"ball{suffix}", "--out", f"moved{suffix}") == 0
    before, after = (opened_in_slicer(folder / f"{name}{suffix}") for name in ("ball", "moved"))
    assert np.allclose(before.mean(axis=0), (-3, -5, -2), atol=0.5)
    assert np.linalg.norm(after - before, axis=1).min() > 0.5
    assert np.allclose(carry_points(transform, after), before, atol=2e-3)


@pytest.mark.parametrize("suffix", [".vtp", ".stl"])
def test_a_model_in_ras_is_read_as_that(folder: Path, suffix: str) -> None:
    transform = sitk.ReadTransform(str(folder / "deformation.h5"))
    sphere = vtkSphereSource()
    sphere.SetCenter(3, 5, -2)
    sphere.Update()
    surface, space = sphere.GetOutput(), vtkStringArray()
    space.SetName("SPACE")
    space.InsertNextValue("RAS")
    surface.GetFieldData().AddArray(space)
    writer = vtkXMLPolyDataWriter() if suffix == ".vtp" else vtkSTLWriter()
    if isinstance(writer, vtkSTLWriter):
        writer.SetHeader("3D Slicer output. SPACE=RAS")
    writer.SetInputData(surface)
    writer.SetFileName(str(folder / f"ball{suffix}"))
    writer.Write()
    assert run_apply(folder, f"ball{suffix}", "--out", f"moved{suffix}") == 0
    carried = carry_points(transform, opened_in_slicer(folder / f"moved{suffix}"))
    assert np.allclose(carried.mean(axis=0), (-3, -5, -2), atol=0.5)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("scan.NII.GZ", "scan_applied.nii.gz"),
        ("scan.nii.bz2", "scan_applied.nrrd"),
        ("scan.dat", "scan_applied.nrrd"),
        ("patient.1.2.3", "patient.1.2_applied.nrrd"),
        ("drawn.SEG.NRRD", "drawn_applied.seg.nrrd"),
    ],
)
def test_the_result_of_a_volume_by_any_name_has_an_ending_that_can_be_written(
    folder: Path, name: str, result: str
) -> None:
    content = (folder / ("moving.nrrd" if "NRRD" in name else "labels.nii.gz")).read_bytes()
    (folder / name).write_bytes(bz2.compress(gzip.decompress(content)) if name.endswith(".bz2") else content)
    assert run_apply(folder, name, "--reference", "fixed.nrrd") == 0
    assert sitk.ReadImage(str(folder / result)).GetSize() == (22, 24, 20)


@pytest.mark.parametrize(("ending", "instead"), [(".NII.GZ", ".nii.gz"), (".dat", ".nrrd")])
def test_a_result_that_cannot_be_written_is_rejected_before_anything_is_read(
    folder: Path, capsys: pytest.CaptureFixture, ending: str, instead: str
) -> None:
    (folder / f"scan{ending}").touch()
    assert run_apply(folder, f"scan{ending}", "--reference", "nothing.nrrd", "--out", f"other{ending}") == 2
    said = f"other{ending} has an ending that cannot be written; give one in {instead} as --out.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", ["lesion.MRK.JSON", "lesion.Mrk.Json"])
def test_points_in_a_file_with_capitals_are_carried(folder: Path, name: str) -> None:
    markups = {"type": "Fiducial", "controlPoints": [{"id": "1", "label": "lesion", "position": [3, -4, 0]}]}
    (folder / name).write_text(json.dumps({"markups": [markups]}), encoding="utf-8")
    assert run_apply(folder, name) == 0
    assert read_points(folder / f"lesion_applied{name.removeprefix('lesion')}").shape == (1, 3)
    assert run_apply(folder, name, "--out", "small.mrk.json") == 0
    assert (folder / "small.mrk.json").is_file()


@pytest.mark.parametrize(
    ("images", "out", "message"),
    [
        (["labels.nii.gz"], "y.nrrd", "y.nrrd has another ending than the result; give one in .nii.gz, or a folder,"),
        (["moving.nrrd"], "X.NII.GZ", "X.NII.GZ has another ending than the result; give one in .nrrd, or a folder,"),
        (["labels.nii.gz"], "X.NII.GZ", "X.NII.GZ has an ending that cannot be written; give one in .nii.gz as"),
        (["moving.nrrd", "labels.nii.gz"], "y.nrrd", "y.nrrd is the name of a file, but 2 images are given; give a"),
    ],
)
def test_no_folder_gets_the_name_of_a_file(
    folder: Path, capsys: pytest.CaptureFixture, images: list[str], out: str, message: str
) -> None:
    assert run_apply(folder, *images, "--reference", "fixed.nrrd", "--out", out) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (folder / out).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("moving.nrrd",), "give the volume FIXED"),
        (("moving.nrrd", "--inverse"), "give the volume MOVING"),
        (("moving.nrrd", "--reference", "fixed.nrrd", "--out", "fixed.nrrd"), "would be overwritten"),
        (("nothing.mrk.json",), "There is no file {folder}/nothing.mrk.json; check the path."),
        (("nothing.fcsv",), "There is no file {folder}/nothing.fcsv; check the path."),
        (("nothing.stl",), "There is no file {folder}/nothing.stl; check the path."),
        (("nothing.vtp",), "There is no file {folder}/nothing.vtp; check the path."),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], message: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run_apply(folder, *arguments) == 2
    assert message.format(folder=folder) in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_file_that_is_no_transform_is_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "deformation.h5").write_text("no transform")
    assert run_apply(folder, "moving.nrrd", "--reference", "fixed.nrrd") == 2
    assert "no transform in space" in capsys.readouterr().err
    (folder / "deformation.h5").unlink()
    assert run_apply(folder, "moving.nrrd", "--reference", "fixed.nrrd") == 2
    assert capsys.readouterr().err == f"There is no file {folder / 'deformation.h5'}; check the path.\n"


@pytest.mark.parametrize(
    "transform",
    [
        sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0)),
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.TranslationTransform(3, (1.0, 2.0, 3.0)),
        sitk.CompositeTransform([sitk.AffineTransform(3), sitk.BSplineTransform(3)]),
    ],
)
def test_a_whole_transform_in_text_is_read(tmp_path: Path, transform: sitk.Transform) -> None:
    sitk.WriteTransform(transform, str(tmp_path / "whole.tfm"))
    read = read_transform(tmp_path / "whole.tfm")
    assert read.TransformPoint((7.0, 8.0, 9.0)) == pytest.approx(transform.TransformPoint((7.0, 8.0, 9.0)))


@pytest.mark.parametrize(
    ("parameters", "fixed", "more", "message"),
    [
        ("0 0 0 nan 0 0", "0 0 0 0", "", "Numbers of the transform .* are missing, or are not finite"),
        ("0 0 0 1 2", "0 0 0 0", "", "Numbers of the transform"),
        ("0 0 0 1 2 3", "0 0", "", "Numbers of the transform"),
        ("0 0 0 1,5 2 3", "0 0 0 0", "", "Numbers of the transform"),
        (
            "0 0 0 1 2 3",
            "0 0 0",
            "#Transform 1\nTransform: TranslationTransform_double_3_3\nParameters: 1 2 3\nFixedParameters: \n",
            "holds 2 transforms, not one; save them as one",
        ),
    ],
)
def test_a_transform_in_text_that_is_damaged_or_one_of_several_is_refused(
    tmp_path: Path, parameters: str, fixed: str, more: str, message: str
) -> None:
    head = "#Insight Transform File V1.0\n#Transform 0\nTransform: Euler3DTransform_double_3_3\n"
    (tmp_path / "rigid.tfm").write_text(f"{head}Parameters: {parameters}\nFixedParameters: {fixed}\n{more}")
    with pytest.raises(FusionError, match=message):
        read_transform(tmp_path / "rigid.tfm")


@pytest.mark.parametrize("name", ["damaged.stl", "damaged.vtp"])
def test_a_damaged_model_is_reported_in_one_line(folder: Path, capfd: pytest.CaptureFixture, name: str) -> None:
    (folder / name).write_text("no surface")
    assert run_apply(folder, name) == 2
    said = capfd.readouterr()
    assert said.err == f"The file {folder / name} holds no surface; give a .vtp or .stl file with points.\n"
    assert said.out == ""


def test_b_splines_of_voxels_that_are_not_finite_are_rejected(folder: Path, capsys: pytest.CaptureFixture) -> None:
    moving = sitk.ReadImage(str(folder / "moving.nrrd"))
    moving[3, 3, 3] = np.nan
    sitk.WriteImage(moving, str(folder / "moving.nii"))
    options = ("--reference", "fixed.nrrd", "--interpolation")
    paths = [str(folder / argument) if "." in argument else argument for argument in ("moving.nii", *options)]
    command = ["apply", str(folder / "deformation.h5"), *paths]
    assert command_line.main([*command, "bspline"]) == 2
    assert "are not finite, which B-splines would spread; choose linear or nearest" in capsys.readouterr().err
    assert command_line.main([*command, "linear"]) == 0
