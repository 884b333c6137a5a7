"""Weights that are not what they should be, and a scene that changes meanwhile, leave the user's scene in order."""

import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import save_file
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import FusionError
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.network.weights import load_network
from BSAFusionLib.network.weights_file import sha256
from Testing.faults.conftest import state


@pytest.fixture
def heads(add_head):
    return add_head("MRI"), add_head("PET", "pet")


class Planted:
    """A malicious pickle, which leaves a file behind when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def wrong_hash(folder, weights):
    content = bytearray(weights.read_bytes())
    (folder / "net.json").write_text(json.dumps({"sha256": sha256(bytes(content))}))
    content[-1] ^= 1
    (folder / "net.safetensors").write_bytes(content)
    return folder / "net.safetensors"


def damaged_card(folder, weights):
    (folder / "net.json").write_text('{"sha256": ')
    (folder / "net.safetensors").write_bytes(weights.read_bytes())
    return folder / "net.safetensors"


def code_in_a_pickle(folder, weights):
    (folder / "net.pkl").write_bytes(pickle.dumps(Planted(folder / "trace")))
    return folder / "net.pkl"


def code_in_a_checkpoint(folder, weights):
    torch.save({"encoder_state_dict": Planted(folder / "trace")}, folder / "net.pkl")
    return folder / "net.pkl"


def weights_that_lead_to_nan(folder, weights):
    network = load_network(weights)
    tensors = {name: tensor * 1e30 for name, tensor in network.state_dict().items()}
    header = {"convention": "exact", "modality": "all", "size": "32"}
    save_file(tensors, folder / "net.safetensors", header)
    return folder / "net.safetensors"


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (wrong_hash, "is not the file that its card net.json describes"),
        (damaged_card, "The card .*net.json of the weights cannot be read"),
        (code_in_a_pickle, "holds more than weights"),
        (code_in_a_checkpoint, "holds more than weights"),
        (weights_that_lead_to_nan, "values that are not finite"),
    ],
)
def test_wrong_weights_are_reported_and_leave_the_scene(plant, said, scene, heads, weights, process, tmp_path):
    file, before = plant(tmp_path, weights), state(scene)
    with pytest.raises(FusionError, match=said):
        process(*heads, weights=file)
    assert state(scene) == before
    assert not (tmp_path / "trace").exists()


def test_nodes_renamed_while_it_runs_give_the_result_their_new_names(heads, process):
    def rename(*_):
        heads[0].SetName("T1 ü")
        heads[1].SetName("FDG")

    result = process(*heads, progress=rename)
    assert result.fusedVolume.GetName() == "T1 ü + FDG (BSAFusion fused)"
    assert result.gridTransform.GetName() == "FDG to T1 ü"


@pytest.mark.parametrize("which", ["fixed", "moving", "output", "companion"])
def test_a_node_removed_while_it_runs_is_reported_and_nothing_else_changes(which, heads, scene, process):
    output = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Output")
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Points")
    node = {"fixed": heads[0], "moving": heads[1], "output": output, "companion": points}[which]
    left = []

    def remove(*_):
        if scene.IsNodePresent(node):
            scene.RemoveNode(node)
            left.extend(state(scene))

    with pytest.raises(FusionError, match=f"'{node.GetName()}' was removed while it was in use"):
        process(*heads, fusedVolume=output, carry=[points], progress=remove)
    assert state(scene) == left


def test_two_runs_at_once_do_not_disturb_each_other(heads, add_head, weights):
    logic = BSAFusionLogic()
    choices = {"weights": weights, "device": "cpu", "prealignment": "none", "modality": "pet", "do_no_harm": False}
    others = add_head("Other MRI"), add_head("Other PET", "pet", size=(36, 40, 24))
    jobs = [logic.prepare(*pair, **choices) for pair in (heads, others)]
    alone = [logic.compute(job).result for job in jobs]
    together = [None, None]

    def compute(n):
        together[n] = logic.compute(jobs[n])

    threads = [threading.Thread(target=compute, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job, computed, expected in zip(jobs, together, alone, strict=True):
        node = logic.fill(job, computed).registeredVolume
        assert expected.deforms
        np.testing.assert_allclose(arrayFromVolume(node), sitk.GetArrayFromImage(expected.registered), atol=1e-3)


def test_a_volume_squeezed_flat_by_its_transform_is_rejected(heads, add_transform, process, scene):
    heads[1].SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 1.0, 0.0, 1.0])).GetID())
    before = state(scene)
    with pytest.raises(FusionError, match=r"'PET' .* flat"):
        process(*heads)
    assert state(scene) == before
