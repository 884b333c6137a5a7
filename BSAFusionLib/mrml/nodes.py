"""Add volumes and transforms to a scene, or fill nodes that are there."""

from typing import TYPE_CHECKING

import slicer
from slicer.util import vtkMatrixFromArray

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
    node.SetMatrixTransformFromParent(vtkMatrixFromArray(RAS_LPS @ matrix_of(from_parent) @ RAS_LPS))
    return node
