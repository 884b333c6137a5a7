"""MRML nodes to SimpleITK images and back: volumes, world transforms, the grid transform and how all of it is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
from slicer.util import (
    arrayFromTransformMatrix,
    arrayFromVolume,
    arrayFromVTKMatrix,
    updateVolumeFromArray,
    vtkMatrixFromArray,
)
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkObject, vtkOutputWindow
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform, vtkTransform
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

from BSAFusionLib.errors import FusionError

# Slicer's world is RAS, ITK's LPS: x and y change sign, either way.
ras_lps = np.diag([-1.0, -1.0, 1.0, 1.0])

dicom_modalities = {"CT": "ct", "PT": "pet", "NM": "spect"}

grid_lines_across_volume = 16


def image_from_volume(volume: slicer.vtkMRMLVolumeNode) -> sitk.Image:
    """The voxels of a volume node (one component, or several as a vector image) where they lie in the world, mm, LPS.

    Linear parent transforms, however many, are part of where they lie. Raises FusionError for a non-linear one.
    """
    ijk_to_ras = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    ijk_to_world = ras_lps @ parent_to_world(volume) @ arrayFromVTKMatrix(ijk_to_ras)
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    voxels = arrayFromVolume(volume)
    image = sitk.GetImageFromArray(voxels, isVector=voxels.ndim == 4)
    image.SetOrigin(ijk_to_world[:3, 3].tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection((ijk_to_world[:3, :3] / spacing).ravel().tolist())
    return image


def modality_from_dicom(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """What Slicer's DICOM import noted on a volume: "ct", "pet" or "spect"; None where it noted nothing of the kind.

    The import keeps the modality with the subject hierarchy item, and marks a CT's voxels as Hounsfield units.
    """
    units = volume.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return "ct"
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    for hierarchy in _nodes(volume.GetScene(), "vtkMRMLSubjectHierarchyNode"):
        noted = hierarchy.GetItemAttribute(hierarchy.GetItemByDataNode(volume), attribute)
        if noted in dicom_modalities:
            return dicom_modalities[noted]
    return None


def parent_to_world(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The 4 x 4 matrix, mm, RAS, that a volume's parent transforms amount to; FusionError where they are not linear."""
    parent = volume.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise FusionError(
            f"'{volume.GetName()}' lies under a non-linear transform: harden that, or take the volume out of it, first."
        )
    return arrayFromTransformMatrix(parent, toWorld=True)


def transform_from_node(node: slicer.vtkMRMLTransformNode) -> sitk.AffineTransform:
    """A transform node that would carry the moving volume to the fixed one, as fixed point -> moving point, mm, LPS.

    A transform node over a volume says where its points go; ITK's resampling asks where they come from: the inverse.
    Raises FusionError where the node, or one above it, is not linear.
    """
    if not node.IsTransformToWorldLinear():
        raise FusionError(f"The transform '{node.GetName()}' is not linear: choose a linear one to start from.")
    from_world = ras_lps @ np.linalg.inv(arrayFromTransformMatrix(node, toWorld=True)) @ ras_lps
    return sitk.AffineTransform(from_world[:3, :3].ravel().tolist(), from_world[:3, 3].tolist())


def volume_from_image(image: sitk.Image) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node, in no scene yet, with an image's voxels and place in the world; three components mean colour."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        volume = slicer.vtkMRMLVectorVolumeNode()
        volume.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
    else:
        volume = slicer.vtkMRMLScalarVolumeNode()
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.dtype == np.int64:  # which Slicer cannot draw
        voxels = voxels.astype(np.float64)
    updateVolumeFromArray(volume, voxels)
    volume.SetIJKToRASMatrix(vtkMatrixFromArray(ras_lps @ _ijk_to_world(image)))
    return volume


def transform_from_field(field: sitk.Image, moving_to_world: np.ndarray) -> vtkAbstractTransform:
    """A field (mm, LPS, fixed point -> moving point, both in the world) as a node's transform from parent, mm, RAS.

    That node takes the place of what the moving volume's parent transforms amount to, `moving_to_world` (4 x 4, RAS):
    the volume's own points are then asked for, so a fixed point x goes to inverse(moving_to_world)(x + field(x)). It is
    a vtkOrientedGridTransform, interpolated by cubics, as Slicer does with grids that it reads from files; where the
    parents turn by 60 degrees or more, one followed by a linear transform.
    """
    world_to_moving = np.linalg.inv(moving_to_world)
    # To harden, Slicer inverts a grid transform step by step. The steps lead there as long as displacements change by
    # less than the points do, which a turn of 60 degrees ends: from there on, the parents' part stands by itself.
    invertible_in_one = np.linalg.norm(world_to_moving[:3, :3] - np.eye(3), 2) < 1
    grid = _grid_transform(field, world_to_moving if invertible_in_one else np.eye(4))
    if invertible_in_one:
        return grid
    back_from_parents = vtkTransform()
    back_from_parents.SetMatrix(vtkMatrixFromArray(world_to_moving))
    both = vtkGeneralTransform()
    both.PostMultiply()
    both.Concatenate(grid)
    both.Concatenate(back_from_parents)
    return both


def _grid_transform(field: sitk.Image, then: np.ndarray) -> slicer.vtkOrientedGridTransform:
    """The transform, RAS, that carries a point x of the field's grid to then(x + field(x)), `then` being 4 x 4, RAS."""
    ijk_to_world = ras_lps @ _ijk_to_world(field)
    displacement = sitk.GetArrayViewFromImage(field) * np.diag(ras_lps)[:3]
    indices = np.moveaxis(np.indices(displacement.shape[:3])[::-1], 0, -1)
    points = indices @ ijk_to_world[:3, :3].T + ijk_to_world[:3, 3]
    displacement = (points + displacement) @ then[:3, :3].T + then[:3, 3] - points

    grid = vtkImageData()
    grid.SetDimensions(field.GetSize())
    grid.SetOrigin(ijk_to_world[:3, 3])
    grid.SetSpacing(field.GetSpacing())
    grid.GetPointData().SetScalars(numpy_to_vtk(displacement.reshape(-1, 3).astype(np.float32), deep=True))
    directions = np.eye(4)
    directions[:3, :3] = ijk_to_world[:3, :3] / field.GetSpacing()
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetGridDirectionMatrix(vtkMatrixFromArray(directions))
    transform.SetInterpolationModeToCubic()
    return transform


@contextmanager
def all_or_nothing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Views and panels see what is added to the scene within all at once; nothing of it stays if there is an error."""
    before = set(_nodes(scene, "vtkMRMLNode"))
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    except BaseException:
        for node in set(_nodes(scene, "vtkMRMLNode")) - before:
            scene.RemoveNode(node)
        raise
    finally:
        scene.EndState(scene.BatchProcessState)


def put_volume(
    scene: slicer.vtkMRMLScene, content: slicer.vtkMRMLVolumeNode, name: str, node: slicer.vtkMRMLVolumeNode | None
) -> slicer.vtkMRMLVolumeNode:
    """Adds a volume to the scene under a free name, or, where a node is given, gives that node its voxels and place."""
    if node is None:
        content.SetName(scene.GenerateUniqueName(name))
        node = scene.AddNode(content)
    else:
        node.SetAndObserveTransformNodeID(None)
        node.CopyOrientation(content)
        node.SetAndObserveImageData(content.GetImageData())
    node.CreateDefaultDisplayNodes()
    return node


def put_grid_transform(
    scene: slicer.vtkMRMLScene,
    content: vtkAbstractTransform,
    name: str,
    node: slicer.vtkMRMLGridTransformNode | None,
) -> slicer.vtkMRMLGridTransformNode:
    """Adds a grid transform node to the scene under a free name, or gives a given node this transform from parent."""
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", scene.GenerateUniqueName(name))
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(content)
    node.CreateDefaultDisplayNodes()
    return node


def show_fused(volume: slicer.vtkMRMLVolumeNode) -> None:
    """Puts a fused volume, its whole range of intensities in view, behind every slice view, with nothing before it."""
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 255 if volume.IsA("vtkMRMLVectorVolumeNode") else 1)
    scene = volume.GetScene()
    for selection in _nodes(scene, "vtkMRMLSelectionNode"):
        selection.SetActiveVolumeID(volume.GetID())
    for view in _nodes(scene, "vtkMRMLSliceCompositeNode"):
        view.SetBackgroundVolumeID(volume.GetID())
        view.SetForegroundVolumeID(None)


def show_like(volume: slicer.vtkMRMLVolumeNode, other: slicer.vtkMRMLVolumeNode) -> None:
    """Shows a volume in the colours, window and level of another, where that one is shown at all."""
    if other.GetDisplayNode() is not None:
        volume.GetDisplayNode().CopyContent(other.GetDisplayNode())


def show_grid(node: slicer.vtkMRMLGridTransformNode, field: sitk.Image) -> None:
    """Draws a grid transform, made from this field, over slice views as a deformed grid coloured by displacement.

    The lines' distance suits the size of the volume; green is the smallest displacement in it, red the largest.
    """
    extent = max(np.multiply(field.GetSize(), field.GetSpacing()))
    lengths = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1)
    smallest, largest = lengths.min(), lengths.max()
    display = node.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridSpacingMm(extent / grid_lines_across_volume)
    display.SetGridResolutionMm(extent / grid_lines_across_volume / 5)
    colours = vtkColorTransferFunction()
    colours.AddRGBPoint(smallest, 0, 1, 0)
    colours.AddRGBPoint((smallest + largest) / 2, 1, 1, 0)
    colours.AddRGBPoint(largest, 1, 0, 0)
    display.SetColorMap(colours)
    display.SetSliceIntersectionThickness(2)  # pixels
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)


def save_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Writes a scene with all its data to one .mrb file; FusionError where that fails."""
    with quiet():
        written = scene.WriteToMRB(str(path))
    if not written:
        raise FusionError(f"The scene could not be written to {path}: see that the folder exists and has room.")


def load_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Adds what a .mrb file holds to a scene; FusionError where that fails."""
    with quiet():
        read = scene.ReadFromMRB(str(path))
    if not read:
        raise FusionError(f"The scene could not be read from {path}: see that it is a whole .mrb file.")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what VTK reports off the console, where our own sentence, or nothing, is all that a user should read."""
    window, warn = vtkOutputWindow.GetInstance(), vtkObject.GetGlobalWarningDisplay()
    mode = window.GetDisplayMode()
    window.SetDisplayModeToNever()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(warn)
        window.SetDisplayMode(mode)


def _ijk_to_world(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def _nodes(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    # slicer.util.getNodesByClass looks in slicer.mrmlScene only, whichever scene it is given.
    return [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]
