"""The head in the 3D view: its surface, cut open along the slices of the slice views, which are drawn on the cuts."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import SimpleITK as sitk
import slicer
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray
from trame_slicer.views import SliceView
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPlane, vtkPolyData
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkCutter, vtkFlyingEdges3D, vtkPolyDataNormals, vtkWindowedSincPolyDataFilter
from vtkmodules.vtkFiltersGeneral import vtkContourTriangulator, vtkTransformPolyDataFilter

from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.mrml.convert import content_from_image

SPACING_MM = 2.5  # of the lattice that the surface is extracted from
SMOOTHING_MM = 1.5
SMOOTHING_STEPS, PASS_BAND = 15, 0.1
HEAD_RGB = 0.80, 0.70, 0.62


class CutHead:
    """The head's surface without the part before, above and to one side of the slices, and the slices within it.

    Slicer's own slices in 3D are whole rectangles, whose black air would hide the head.

    Args:
        scene: The scene.
        head: Mask of the head, 0 or 1, mm, LPS.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, head: sitk.Image) -> None:
        self._scene = scene
        self._surface = _put_model(scene, "Head", _surface(head))
        self._surface.GetDisplayNode().SetColor(*HEAD_RGB)
        self._faces: dict[str, slicer.vtkMRMLModelNode] = {}

    def follow(self, views: Sequence[SliceView], logic: slicer.vtkMRMLApplicationLogic) -> None:
        """Cut the head along the slices of views, now and whenever these move.

        Args:
            views: They show volumes already.
            logic: Of the application.
        """
        clip = self._scene.AddNewNodeByClass("vtkMRMLClipNode")
        clip.SetClipType(clip.ClipIntersection)
        for view in views:
            node = view.get_view_node()
            node.SetSliceResolutionMode(node.SliceResolutionMatchVolumes)  # whatever the slice view is zoomed to
            clip.AddAndObserveClippingNodeID(node.GetID())
            clip.SetClippingNodeState(node, clip.ClipNegativeSpace)
            face = self._faces[node.GetID()] = _put_model(self._scene, f"Cut {node.GetName()}", vtkPolyData())
            display = face.GetDisplayNode()
            display.SetAmbient(1)  # as bright as in the slice view
            display.SetDiffuse(0)
            display.SetInterpolateTexture(True)
            view.modified.connect(partial(self._cut, logic))
            self._cut(logic, view)
        self._surface.GetDisplayNode().SetAndObserveClipNodeID(clip.GetID())
        self.show(is_cut=True)

    def show(self, is_cut: bool) -> None:
        """Show the head cut open, or whole."""
        self._surface.GetDisplayNode().SetClipping(is_cut)
        for face in self._faces.values():
            face.GetDisplayNode().SetVisibility(is_cut)

    def _cut(self, logic: slicer.vtkMRMLApplicationLogic, view: SliceView) -> None:
        """Let the face of a view be where its slice cuts the head, with what the view shows as its texture."""
        node = view.get_view_node()
        face = self._faces[node.GetID()]
        face.SetAndObservePolyData(cut_face(self._surface.GetPolyData(), node))
        shown = logic.GetSliceLogic(node).GetSliceModelDisplayNode().GetTextureImageDataConnection()
        face.GetDisplayNode().SetTextureImageDataConnection(shown)


def cut_face(surface: vtkPolyData, node: slicer.vtkMRMLSliceNode) -> vtkPolyData:
    """Return the area in which a slice cuts a closed surface, with coordinates of the slice's texture.

    Args:
        surface: mm, RAS.
        node: Of a slice view whose resolution is that of the volumes.
    """
    pixel_to_ras = arrayFromVTKMatrix(node.GetUVWToRAS())
    sides, origin = pixel_to_ras[:3, :2], pixel_to_ras[:3, 3]
    plane = vtkPlane()
    plane.SetOrigin(*origin)
    plane.SetNormal(*np.cross(*sides.T))
    outline = vtkCutter()
    outline.SetCutFunction(plane)
    outline.SetInputData(surface)
    area = vtkContourTriangulator()
    area.SetInputConnection(outline.GetOutputPort())
    area.Update()
    face = area.GetOutput()
    if face.GetNumberOfPoints() > 0:
        pixels = (vtk_to_numpy(face.GetPoints().GetData()) - origin) @ np.linalg.pinv(sides).T
        places = (pixels + 0.5) / node.GetUVWDimensions()[:2]  # a texture begins at the edge of its first pixel
        face.GetPointData().SetTCoords(numpy_to_vtk(places.astype(np.float32), deep=True))
    return face


def _put_model(scene: slicer.vtkMRMLScene, name: str, surface: vtkPolyData) -> slicer.vtkMRMLModelNode:
    """Add a surface to a scene, visible in 3D from both of its sides."""
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(surface)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(1, 1, 1)
    display.SetScalarVisibility(False)
    display.SetBackfaceCulling(False)
    display.SetVisibility2D(False)
    return node


def _surface(head: sitk.Image) -> vtkPolyData:
    """Extract the closed, smoothed surface of a mask, mm, RAS."""
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(head, sitk.sitkFloat32), SMOOTHING_MM)
    content = content_from_image(sitk.Resample(smooth, _padded_lattice(head)))
    contour = vtkFlyingEdges3D()
    contour.SetInputData(content.voxels)
    contour.SetValue(0, 0.5)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    transform = vtkTransform()
    transform.SetMatrix(vtkMatrixFromArray(content.ijk_to_ras))
    placed = vtkTransformPolyDataFilter()
    placed.SetTransform(transform)
    placed.SetInputConnection(contour.GetOutputPort())
    smoothed = vtkWindowedSincPolyDataFilter()
    smoothed.SetNumberOfIterations(SMOOTHING_STEPS)
    smoothed.SetPassBand(PASS_BAND)
    smoothed.SetInputConnection(placed.GetOutputPort())
    normals = vtkPolyDataNormals()
    normals.SplittingOff()
    normals.AutoOrientNormalsOn()  # the transform may mirror
    normals.SetInputConnection(smoothed.GetOutputPort())
    normals.Update()
    return normals.GetOutput()


def _padded_lattice(head: sitk.Image) -> sitk.Image:
    """Return an empty lattice a voxel larger than the mask on each side, so that its surface is closed."""
    lattice = lattice_over(head, [SPACING_MM] * 3)
    return sitk.ConstantPad(lattice, [1] * 3, [1] * 3)
