"""Slices of a scene are drawn without a display, by Slicer's own slice view."""

import itertools
from ctypes.util import find_library

import numpy as np
import pytest
import SimpleITK as sitk
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.rendering import OffscreenSliceView, write_preview
from Testing.scene.conftest import lattice, rigid


def test_a_slice_through_the_head_has_the_patients_right_on_the_left(application, add_head):
    volume = add_head("MRI", ijk_to_ras=lattice(rigid((0, 0, 10))))
    arrayFromVolume(volume)[:, :, 22:] = 0  # columns run to the patient's right
    view = OffscreenSliceView(application, (200, 200))
    view.look_at(volume)
    picture = view.draw(volume)
    assert picture.shape == (200, 200, 3)
    assert picture[100, 130].min() > 100
    assert picture[100, 60].max() < 10
    assert picture[2, 130].max() < 20


def test_a_foreground_is_blended_in_and_a_label_written(application, add_head):
    fixed, moving = add_head("MRI"), add_head("PET", "pet")
    arrayFromVolume(moving)[:] = np.arange(32)  # brighter from column to column
    view = OffscreenSliceView(application, (200, 200))
    view.look_at(fixed)
    one, other = view.draw(fixed).astype(int), view.draw(moving).astype(int)
    assert np.abs(view.draw(fixed, moving, opacity=0.25) - (0.75 * one + 0.25 * other)).max() <= 2
    changed = np.argwhere((view.draw(fixed, label="Fixed") != one).any(axis=-1))
    assert len(changed) > 50
    assert changed[:, 0].min() > 150
    assert changed[:, 1].max() < 100


@pytest.mark.skipif(find_library("OSMesa") is not None, reason="OSMesa would draw")
def test_a_machine_without_opengl_is_reported_with_what_to_install(application, monkeypatch):
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")
    with pytest.raises(FusionError, match="without OpenGL: install it"):
        OffscreenSliceView(application)


def test_the_preview_shows_five_tiles_and_colored_lines_only_over_the_last(application, add_head, process, tmp_path):
    fixed, moving = add_head("MRI"), add_head("CT", "ct", lattice(rigid((4, 0, 8), (6, -5, 4))))
    result = process(fixed, moving, modality="ct")
    path = tmp_path / "preview.png"
    write_preview(path, application, (fixed, moving), result, tile=200)
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int)
    assert picture.shape == (200, 5 * 200 + 4 * 4, 3)
    tiles = [picture[:, n * 204 : n * 204 + 200] for n in range(5)]
    colored = [(np.ptp(tile, axis=-1) > 100).sum() for tile in tiles]
    assert [colored[tile] for tile in (0, 1, 3)] == [0, 0, 0]
    assert min(colored[2], colored[4]) > 2000  # bone, and lines
    assert all(np.abs(one - other).mean() > 2 for one, other in itertools.pairwise(tiles))
    assert not result.gridTransform.GetDisplayNode().GetVisibility()
    view = application.scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert view.GetBackgroundVolumeID() == fixed.GetID()
    assert view.GetForegroundVolumeID() == result.registeredVolume.GetID()
