"""MRML nodes to SimpleITK images and back: volumes, world transforms, the grid transform and how all of it is shown."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import (
    arrayFromTransformMatrix,
    arrayFromVolume,
    arrayFromVTKMatrix,
    vtkMatrixFromArray,
)
from vtkmodules.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkObject, vtkOutputWindow
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkAbstractTransform, vtkGeneralTransform, vtkTransform

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import from_dicom
from BSAFusionLib.worker.case import Deformation, deformation_of, matrix_of
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

# Slicer's world is RAS, ITK's LPS: x and y change sign, either way.
ras_lps = np.diag([-1.0, -1.0, 1.0, 1.0])

grid_lines_across_volume = 16
flat = 1e-6  # the least share of a box's volume that a parallelepiped of the same edges may take

# Node references of what lies under a result: to that, and to the parent that it had before.
placed_under, placed_before = "BSAFusion.placedUnder", "BSAFusion.placedBefore"
# Of what a run filled: to the moving volume; and of its grid transform: to the parent whose place that takes.
filled_from, takes_place_of = "BSAFusion.filledFrom", "BSAFusion.takesPlaceOf"


@dataclass(frozen=True)
class VolumeContent:
    """What a volume node is to hold: voxels (one component, or three for colour) and IJK to RAS, 4 x 4, mm."""

    voxels: vtkImageData
    ijk_to_ras: np.ndarray


least_range = 0.1  # mm: a legend needs one, also where all moves alike


@dataclass(frozen=True)
class TransformContent:
    """What a grid transform node is to hold: its transform from parent, mm, RAS, and how its grid is to be drawn.

    lines_mm: distance of the lines, by the volume's size. smallest_mm, largest_mm: lengths of the displacement.
    """

    from_parent: vtkAbstractTransform
    lines_mm: float
    smallest_mm: float
    largest_mm: float


def image_from_volume(volume: slicer.vtkMRMLVolumeNode) -> "sitk.Image":
    """Copy a volume node as `voxels_of` gives it into an image, a vector image where there are several components."""
    return voxels_of(volume).image()


def voxels_of(volume: slicer.vtkMRMLVolumeNode) -> Volume:
    """View the voxels of a volume node where they lie in the world; they are the node's own, not a copy.

    Linear parent transforms, however many, are part of where they lie.

    Raises:
        FusionError: a parent transform is not linear, or leaves no room between the slices, rows or columns.
    """
    ijk_to_ras = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    ijk_to_world = ras_lps @ parent_to_world(volume) @ arrayFromVTKMatrix(ijk_to_ras)
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    if abs(np.linalg.det(ijk_to_world[:3, :3])) <= flat * np.prod(spacing):
        raise FusionError(f"'{volume.GetName()}' is squeezed flat by its own axes or a transform: give it room first.")
    direction = (ijk_to_world[:3, :3] / spacing).ravel()
    origin = ijk_to_world[:3, 3]
    return Volume(arrayFromVolume(volume), *(tuple(part.tolist()) for part in (origin, spacing, direction)))


def modality_from_dicom(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """What Slicer's DICOM import noted on a volume: "mri" or a name in `MODALITIES`; None where it noted none of these.

    The import keeps the modality with the subject hierarchy item, and marks a CT's voxels as Hounsfield units.
    """
    units = volume.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return "ct"
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    for hierarchy in nodes_of_class(volume.GetScene(), "vtkMRMLSubjectHierarchyNode"):
        item = hierarchy.GetItemByDataNode(volume)
        noted = hierarchy.GetItemAttribute(item, attribute) if item else None
        if (modality := from_dicom(noted)) is not None:
            return modality
    return None


def parent_to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4 x 4 matrix, mm, RAS, that a node's parent transforms amount to; FusionError where they are not linear.

    A node that `place_under` put under a result, or a moving volume under its own, counts as lying where it lay.
    """
    parent = _parent_before(node)
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise FusionError(
            f"'{node.GetName()}' lies under a non-linear transform: harden that, or take it out of there, first."
        )
    return arrayFromTransformMatrix(parent, toWorld=True)


def place_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Lets a transform take the place of a node's parents; the node remembers its own, also in a saved scene."""
    if node.GetParentTransformNode() is transform:
        return
    parent = _parent_before(node)
    node.SetNodeReferenceID(placed_before, parent.GetID() if parent is not None else None)
    node.SetNodeReferenceID(placed_under, transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())


def place_back(node: slicer.vtkMRMLTransformableNode) -> None:
    """Puts a node that `place_under` moved back under its own parent."""
    parent = _parent_before(node)
    node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    node.RemoveNodeReferenceIDs(placed_under)
    node.RemoveNodeReferenceIDs(placed_before)


def put_back_orphans(scene: slicer.vtkMRMLScene) -> None:
    """Puts the nodes that `place_under` moved back under their own parents where the result is no longer there."""
    for node in nodes_of_class(scene, "vtkMRMLTransformableNode"):
        if node.GetNodeReference(placed_before) and not node.GetNodeReference(placed_under):
            if node.GetParentTransformNode() is None:
                node.SetAndObserveTransformNodeID(node.GetNodeReferenceID(placed_before))
            node.RemoveNodeReferenceIDs(placed_before)


def _parent_before(node: slicer.vtkMRMLTransformableNode) -> slicer.vtkMRMLTransformNode | None:
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    if parent is node.GetNodeReference(placed_under):
        return node.GetNodeReference(placed_before)
    if parent.GetNodeReference(filled_from) is node:  # by hand, and not by `place_under`
        return parent.GetNodeReference(takes_place_of)
    return parent


def mark_as_filled(
    nodes: Iterable[slicer.vtkMRMLNode],
    grid_transform: slicer.vtkMRMLTransformNode,
    moving: slicer.vtkMRMLTransformableNode,
) -> None:
    """Notes which moving volume a run filled these nodes from, and which parent of it the grid transform replaces."""
    parent = _parent_before(moving)
    for node in (*nodes, grid_transform):
        node.SetNodeReferenceID(filled_from, moving.GetID())
    grid_transform.SetNodeReferenceID(takes_place_of, parent.GetID() if parent is not None else None)


def file_beside(node: slicer.vtkMRMLNode, neighbour: slicer.vtkMRMLNode) -> None:
    """Lets a node lie in the folder, study or patient of the subject hierarchy that another one lies in."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item, beside = (hierarchy.GetItemByDataNode(each) for each in (node, neighbour))
    if item and beside:  # without Slicer's application nobody makes any
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))


def transform_from_node(node: slicer.vtkMRMLTransformNode) -> "sitk.AffineTransform":
    """A transform node that would carry the moving volume to the fixed one, as fixed point -> moving point, mm, LPS.

    A transform node over a volume says where its points go; ITK's resampling asks where they come from: the inverse.
    Raises FusionError where the node, or one above it, is not linear.
    """
    if not node.IsTransformToWorldLinear():
        raise FusionError(f"The transform '{node.GetName()}' is not linear: choose a linear one to start from.")
    import SimpleITK as sitk  # here, since Slicer's start and most runs do without it

    from_world = ras_lps @ np.linalg.inv(arrayFromTransformMatrix(node, toWorld=True)) @ ras_lps
    return sitk.AffineTransform(from_world[:3, :3].ravel().tolist(), from_world[:3, 3].tolist())


def content_from_image(image: "sitk.Image") -> VolumeContent:
    """Copy an image's voxels and its place in the world into what a volume node takes; may run on any thread."""
    return content_from_voxels(Volume.of(image))


def content_from_voxels(volume: Volume) -> VolumeContent:
    """Copy a volume into what a volume node takes; may run on any thread."""
    voxels = volume.voxels
    if voxels.dtype == np.int64:  # which Slicer cannot draw
        voxels = voxels.astype(np.float64)
    content = vtkImageData()
    content.SetDimensions(voxels.shape[2::-1])
    components = voxels.shape[3] if voxels.ndim == 4 else 1
    content.AllocateScalars(get_vtk_array_type(voxels.dtype), components)
    vtk_to_numpy(content.GetPointData().GetScalars()).reshape(voxels.shape)[:] = voxels
    return VolumeContent(content, ras_lps @ _ijk_to_world(volume))


def transform_from_field(
    field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> vtkGeneralTransform:
    """Return a field and the linear transform that follows it (mm, LPS) as a node's transform from parent, mm, RAS."""
    return _transform(Volume.of(field), matrix_of(prealignment), moving_to_world)


def _transform(displacement: Volume, prealignment: np.ndarray, moving_to_world: np.ndarray) -> vtkGeneralTransform:
    """Return a displacement and the 4 x 4 matrix that follows it (mm, LPS) as a node's transform from parent, mm, RAS.

    That node takes the place of what the moving volume's parent transforms amount to, `moving_to_world` (4 x 4, RAS):
    the volume's own points are then asked for, so a fixed point x goes to
    inverse(moving_to_world)(prealignment(x + displacement(x))). It is a vtkOrientedGridTransform, interpolated by
    cubics, as Slicer does with grids that it reads from files, and then a linear one, which also acts beyond the grid.
    """
    # The linear part stands by itself for Slicer's inverse, too. To harden, it inverts a grid step by step, which
    # leads there as long as displacements change by less than the points do; a turn of 60 degrees in them ends that.
    turn_and_shift = np.linalg.inv(moving_to_world) @ ras_lps @ prealignment @ ras_lps
    linear = vtkTransform()
    linear.SetMatrix(vtkMatrixFromArray(turn_and_shift))
    both = vtkGeneralTransform()
    both.PostMultiply()
    both.Concatenate(_grid_transform(displacement))
    both.Concatenate(linear)
    return both


def content_from_fields(
    field: "sitk.Image", network_field: "sitk.Image", prealignment: "sitk.Transform", moving_to_world: np.ndarray
) -> TransformContent:
    """Return the transform of `transform_from_field` and how to draw it, from what Result holds."""
    return content_from_deformation(deformation_of(field, network_field, prealignment), moving_to_world)


def content_from_deformation(deformation: Deformation, moving_to_world: np.ndarray) -> TransformContent:
    """Return what a grid transform node is to hold instead of `moving_to_world`; may run on any thread."""
    return TransformContent(
        _transform(deformation.displacement, deformation.prealignment, moving_to_world),
        # What the panel's slider can show.
        min(100.0, max(1.0, round(deformation.extent_mm / grid_lines_across_volume, 1))),
        deformation.shortest_mm,
        max(deformation.shortest_mm + least_range, deformation.longest_mm),
    )


def _grid_transform(displacement: Volume) -> slicer.vtkOrientedGridTransform:
    """Return the transform, RAS, that carries a point x to x + displacement(x)."""
    ijk_to_world = ras_lps @ _ijk_to_world(displacement)
    vectors = np.empty(displacement.voxels.shape, np.float32)
    for out, plane in zip(vectors, displacement.voxels, strict=True):
        out[:] = plane * (-1, -1, 1)

    grid = vtkImageData()
    grid.SetDimensions(vectors.shape[2::-1])
    grid.SetOrigin(ijk_to_world[:3, 3])
    grid.SetSpacing(displacement.spacing)
    grid.GetPointData().SetScalars(numpy_to_vtk(vectors.reshape(-1, 3), deep=True))
    directions = np.eye(4)
    directions[:3, :3] = ijk_to_world[:3, :3] / displacement.spacing
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetGridDirectionMatrix(vtkMatrixFromArray(directions))
    transform.SetInterpolationModeToCubic()
    return transform


@contextmanager
def all_or_nothing(
    scene: slicer.vtkMRMLScene,
    *filled: slicer.vtkMRMLDisplayableNode | None,
    moved: Sequence[slicer.vtkMRMLTransformableNode] = (),
) -> Iterator[None]:
    """Views and panels see what is added to the scene within all at once; nothing of it stays if there is an error.

    filled: nodes that are there already and get other contents within; after an error they have their own again.
    moved: nodes that get another parent transform within; after an error they have their own again.
    """
    before = set(nodes_of_class(scene, "vtkMRMLNode"))
    kept = []
    for node in [node for node in filled if node is not None]:
        for changed in (node, node.GetDisplayNode()):
            if changed is not None:
                copy = changed.CreateNodeInstance()
                copy.CopyContent(changed, False)
                kept.append((changed, copy, changed.GetNodeReferenceID("transform")))
    roles = "transform", placed_under, placed_before
    places = [(node, {role: node.GetNodeReferenceID(role) for role in roles}) for node in moved]
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    except BaseException:
        for node in set(nodes_of_class(scene, "vtkMRMLNode")) - before:
            scene.RemoveNode(node)
        for node, copy, parent in kept:
            node.CopyContent(copy, False)
            node.SetNodeReferenceID("transform", parent)
        for node, place in places:
            for role, parent in place.items():
                node.SetNodeReferenceID(role, parent)
        raise
    finally:
        scene.EndState(scene.BatchProcessState)


def put_volume(
    scene: slicer.vtkMRMLScene,
    content: VolumeContent,
    name: str,
    node: slicer.vtkMRMLVolumeNode | None = None,
    window: tuple[float, float] | None = None,
    like: slicer.vtkMRMLVolumeNode | None = None,
) -> slicer.vtkMRMLVolumeNode:
    """Adds a volume to the scene under a free name, or, where a node is given, gives that node its voxels and place.

    It is shown from the lower to the upper value of `window`, or in the colours, window and level of another volume,
    `like`, where that one is shown at all; otherwise as the node was shown, or Slicer finds a window from the voxels.
    """
    if node is None:
        colour = content.voxels.GetNumberOfScalarComponents() > 1
        node = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
        if colour:
            node.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
        node.SetName(scene.GenerateUniqueName(name))
        scene.AddNode(node)
    # The window is set before the voxels come: Slicer would spend up to a second on finding one from them.
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if like is not None and like.GetDisplayNode() is not None:
        display.CopyContent(like.GetDisplayNode())
        window = like.GetDisplayNode().GetWindowLevelMin(), like.GetDisplayNode().GetWindowLevelMax()
    if window is not None:
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(*window)
    node.SetAndObserveTransformNodeID(None)
    node.SetIJKToRASMatrix(vtkMatrixFromArray(content.ijk_to_ras))
    node.SetAndObserveImageData(content.voxels)
    return node


def put_grid_transform(
    scene: slicer.vtkMRMLScene,
    content: TransformContent,
    name: str,
    node: slicer.vtkMRMLGridTransformNode | None = None,
) -> slicer.vtkMRMLGridTransformNode:
    """Adds a grid transform node to the scene under a free name, or gives a given node this transform from parent."""
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", scene.GenerateUniqueName(name))
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(content.from_parent)
    node.CreateDefaultDisplayNodes()
    return node


def put_linear_transform(
    scene: slicer.vtkMRMLScene, from_parent: "sitk.Transform", name: str
) -> slicer.vtkMRMLLinearTransformNode:
    """Adds a linear transform node to the scene under a free name, from its transform from parent, mm, LPS."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetMatrixTransformFromParent(vtkMatrixFromArray(ras_lps @ matrix_of(from_parent) @ ras_lps))
    return node


def save_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Writes a scene with all its data to one .mrb file; FusionError where that fails."""
    with quiet():
        written = scene.WriteToMRB(str(path))
    if not written:
        raise FusionError(f"The scene could not be written to {path}: see that the folder exists and has room.")


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


def _ijk_to_world(volume: Volume) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * volume.spacing
    matrix[:3, 3] = volume.origin
    return matrix


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a class, and of those derived from it, in one scene."""
    # Not slicer.util.getNodesByClass, which looks in slicer.mrmlScene whichever scene it is given; and not
    # GetNthNodeByClass, which walks through the scene from its start for each node.
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return list(found)
