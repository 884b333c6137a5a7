"""A Slicer for each test, with an empty scene."""

import pytest

from Testing import harness


@pytest.fixture
def slicer_app():
    with harness.running() as running:
        yield running


@pytest.fixture
def scene(slicer_app):
    return slicer_app.scene


@pytest.fixture
def add_volume(scene):
    return lambda name: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
