"""Slice views bear the letters of the patient's sides, as Slicer lays out its views."""

import numpy as np
import pytest
import slicer
from slicer.util import arrayFromVTKMatrix

from BSAFusionLib.viewer.letters import edge_letters


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ("Axial", ("R", "L", "A", "P")),
        ("Coronal", ("R", "L", "S", "I")),
        ("Sagittal", ("A", "P", "S", "I")),
    ],
)
def test_a_straight_view_bears_the_letters_of_slicers_convention(orientation: str, letters: tuple[str, ...]) -> None:
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    view = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    view.SetOrientation(orientation)
    found = edge_letters(arrayFromVTKMatrix(view.GetSliceToRAS()))
    assert found == dict(zip(("left", "right", "top", "bottom"), letters, strict=True))


@pytest.mark.parametrize(
    ("degrees", "letters"),
    [(10.0, ("R", "L", "A", "P")), (25.0, ("RA", "LP", "AL", "PR")), (65.0, ("AR", "PL", "LA", "RP"))],
)
def test_an_oblique_view_bears_the_nearest_side_first(degrees: float, letters: tuple[str, ...]) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # Axial, turned: the view's right points to the left and a little back.
    slice_to_ras = np.array([[-cosine, -sine, 0, 0], [-sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert tuple(edge_letters(slice_to_ras).values()) == letters
