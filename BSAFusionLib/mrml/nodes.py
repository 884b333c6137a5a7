"""Add volumes and transforms to a scene, or fill nodes that are there."""

from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import vtkMatrixFromArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from BSAFusionLib.mrml.convert import RAS_LPS, TransformContent, VolumeContent
from BSAFusionLib.worker.case import matrix_of

if TYPE_CHECKING:
    import SimpleITK as sitk


def put_volume(
    scene: slicer.vtkMRMLScene,
    content: VolumeContent,
    name: str,
    node: slicer.vtkMRMLVolumeNode | None = None,
    window: tuple[float, float] | None = None,
    like: slicer.vtkMRMLVolumeNode | None = None,
) -> slicer.vtkMRMLVolumeNode:
    """Add a volume to the scene, or replace the voxels and the place of a volume node.

    Args:
        scene: The scene.
        content: Voxels and their place in the world.
        name: Name of a new node; made unique in the scene.
        node: The node to fill; None adds one.
        window: Lowest and highest displayed value. By default a given node keeps its display, and Slicer chooses a
            window for a new one.
        like: A volume whose colors, window and level are taken over instead, where it has a display.
    """
    if node is None:
        color = content.voxels.GetNumberOfScalarComponents() > 1
        node = slicer.vtkMRMLVectorVolumeNode() if color else slicer.vtkMRMLScalarVolumeNode()
        if color:
            node.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
        node.SetName(scene.GenerateUniqueName(name))
        scene.AddNode(node)
    # Set the window before the voxels: Slicer would spend up to a second on computing one from them.
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
    """Add a grid transform node to the scene under a unique name, or fill the given node."""
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", scene.GenerateUniqueName(name))
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(content.from_parent)
    node.CreateDefaultDisplayNodes()
    return node


def put_linear_transform(
    scene: slicer.vtkMRMLScene, from_parent: "sitk.Transform", name: str
) -> slicer.vtkMRMLLinearTransformNode:
    """Add a linear transform node under a unique name, from its transform from parent in mm, LPS."""
    return _put_matrix(scene, RAS_LPS @ matrix_of(from_parent) @ RAS_LPS, name)


def put_both_parts(
    scene: slicer.vtkMRMLScene,
    content: TransformContent,
    name: str,
    rigid: slicer.vtkMRMLLinearTransformNode | None = None,
    network: slicer.vtkMRMLGridTransformNode | None = None,
) -> tuple[slicer.vtkMRMLLinearTransformNode, slicer.vtkMRMLGridTransformNode | None]:
    """Add the two parts of a transform as nodes of their own, or fill given ones.

    The grid, where there is one, is the linear one's parent: a node below the linear one is carried as by the whole.
    A given grid node becomes the identity where the network moves nothing.
    """
    if rigid is None:
        rigid = _put_matrix(scene, content.rigid_from_parent, f"{name} (rigid)")
    else:
        rigid.SetMatrixTransformFromParent(vtkMatrixFromArray(content.rigid_from_parent))
    if network is None and content.network_from_parent is not None:
        network = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", scene.GenerateUniqueName(f"{name} (network)"))
    if network is not None:
        network.SetAndObserveTransformNodeID(None)
        network.SetAndObserveTransformFromParent(content.network_from_parent or vtkGeneralTransform())
        network.CreateDefaultDisplayNodes()
    rigid.SetAndObserveTransformNodeID(network.GetID() if network is not None else None)
    return rigid, network


def put_network_part(
    whole: slicer.vtkMRMLGridTransformNode, node: slicer.vtkMRMLGridTransformNode | None = None
) -> slicer.vtkMRMLGridTransformNode | None:
    """Add what the network adds to a total transform as a node, or fill a given one.

    Args:
        whole: A grid transform of a run, of this session or of a saved scene.
        node: The node to fill, which becomes the identity where the network adds nothing.

    Returns:
        The node; None where none is given and the network adds nothing.
    """
    grid, scene = network_grid(whole), whole.GetScene()
    if node is None and grid is None:
        return None
    if node is None:
        name = scene.GenerateUniqueName(f"{whole.GetName()} (network)")
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    node.SetAndObserveTransformFromParent(grid or vtkGeneralTransform())
    node.CreateDefaultDisplayNodes()
    return node


def network_grid(node: slicer.vtkMRMLGridTransformNode) -> slicer.vtkOrientedGridTransform | None:
    """Return the displacement grid in a transform from parent, without its linear part; None where it moves nothing."""
    transform = node.GetTransformFromParent()
    parts = [transform]
    if transform.IsA("vtkGeneralTransform"):
        parts = [transform.GetConcatenatedTransform(n) for n in range(transform.GetNumberOfConcatenatedTransforms())]
    grids = [part for part in parts if part.IsA("vtkOrientedGridTransform")]
    return grids[0] if grids and max(displacement_range(grids[0])) > 0 else None


def displacement_range(grid: slicer.vtkOrientedGridTransform) -> tuple[float, float]:
    """Return the lengths of a grid's smallest and largest displacement, mm."""
    scalars = grid.GetDisplacementGrid().GetPointData().GetScalars()
    lengths = np.linalg.norm(vtk_to_numpy(scalars) * grid.GetDisplacementScale(), axis=1)
    return float(lengths.min()), float(lengths.max())


def _put_matrix(scene: slicer.vtkMRMLScene, from_parent: np.ndarray, name: str) -> slicer.vtkMRMLLinearTransformNode:
    """Add a linear transform node under a unique name, from its transform from parent, 4 x 4, mm, RAS."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetMatrixTransformFromParent(vtkMatrixFromArray(from_parent))
    return node
