"""The surface of the head for the 3D view."""

import SimpleITK as sitk
import slicer
from slicer.util import vtkMatrixFromArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkPolyDataNormals, vtkWindowedSincPolyDataFilter
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter

from BSAFusionLib.geometry.grids import lattice_over
from BSAFusionLib.mrml.convert import content_from_image

SPACING_MM = 2.0  # of the lattice that the surface is extracted from
SMOOTHING_MM = 1.5
SMOOTHING_STEPS, PASS_BAND = 15, 0.1
HEAD_RGB = 0.80, 0.70, 0.62


def put_head_surface(scene: slicer.vtkMRMLScene, head: sitk.Image) -> slicer.vtkMRMLModelNode:
    """Add the surface of a mask of the head to a scene, as a model.

    Args:
        scene: The scene.
        head: 0 or 1, mm, LPS.
    """
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "Head")
    node.SetAndObservePolyData(_surface(head))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*HEAD_RGB)
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
