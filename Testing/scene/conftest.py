"""A real MRML scene, phantom heads as volume nodes in it, and a network of random weights, always the same."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from slicer.util import updateTransformMatrixFromArray, updateVolumeFromArray, vtkMatrixFromArray
from trame_slicer.core import SlicerApp

from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.mrml.request import Outputs
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import save_network

usual_size = (32, 40, 28)  # columns, rows, slices
at_the_origin = np.eye(4)


@pytest.fixture
def application():
    return SlicerApp()


@pytest.fixture
def scene(application):
    return application.scene


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    network = BSAFusion(Metadata(size=32))
    with torch.no_grad():
        for step in (*network.bsfa.forward_steps, *network.bsfa.reverse_steps):
            step.weight.fill_(2.3)  # so sure of itself that it moves things by a few mm
            step.answer.bias.normal_(std=0.2)
    save_network(path, network)
    return path


of_outputs = {field.name for field in fields(Outputs)}


@pytest.fixture
def process(weights):
    """BSAFusionLogic.process with the random network, on the CPU, from where the volumes lie."""

    def process(fixed=None, moving=None, *outputs, **choices):
        return BSAFusionLogic().process(
            fixed,
            moving,
            outputs=Outputs(*outputs, **{name: choices.pop(name) for name in of_outputs & choices.keys()}),
            **{
                "weights": weights,
                "device": "cpu",
                "prealignment": "none",
                "modality": "pet",
                "do_no_harm": False,  # a random field helps nobody, but there is much to get wrong in space
                **choices,
            },
        )

    return process


@pytest.fixture
def add_transform(scene):
    """Return a function that adds a linear transform node, from its 4 x 4 matrix to parent and its parent."""

    def add_transform(matrix, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        updateTransformMatrixFromArray(node, matrix)
        node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
        return node

    return add_transform


@pytest.fixture
def add_head(scene):
    """Return a function that adds a volume node with a head; `size` is (columns, rows, slices)."""

    def add_head(name, contrast="mri", ijk_to_ras=None, size=usual_size, parent=None):
        k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in reversed(size)], indexing="ij")
        radius = np.sqrt((i / 0.7) ** 2 + (j / 0.8) ** 2 + (k / 0.75) ** 2)
        inside = 1 / (1 + np.exp((radius - 1) * 9))
        folds = np.cos(5 * i) * np.cos(4 * j) * np.cos(4 * k)
        values = {
            "mri": inside * (100 + 40 * folds),
            "pet": inside * (6 - 3 * folds + 2 * i),
            "ct": 1040 * inside - 1000 + 20 * folds + 900 * np.exp(-(((radius - 1) / 0.3) ** 2)),
            "rgb": 255 * inside[..., None] * np.stack([0.5 + 0.4 * folds, 0.5 + 0.3 * i, 0.5 - 0.4 * j], axis=-1),
        }[contrast]
        node = scene.AddNewNodeByClass(f"vtkMRML{'Vector' if contrast == 'rgb' else 'Scalar'}VolumeNode", name)
        updateVolumeFromArray(node, values.astype(np.uint8 if contrast == "rgb" else np.float32))
        node.SetIJKToRASMatrix(vtkMatrixFromArray(lattice(size=size) if ijk_to_ras is None else ijk_to_ras))
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
        return node

    return add_head


def rigid(degrees=(0, 0, 0), shift=(0, 0, 0)):
    """Return the 4 x 4 matrix that rotates about x, y, z in this order, then shifts by mm."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(4)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    matrix[:3, 3] = shift
    return matrix


def lattice(placed=at_the_origin, spacing=(6, 6, 6), size=usual_size, flips=(1, 1, 1)):
    """Return the IJK to RAS matrix of a volume centered on the origin, then moved by the rigid matrix `placed`."""
    matrix = np.diag([*np.multiply(spacing, flips), 1.0])
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(size) - 1) / 2
    return placed @ matrix
