"""Dynamic volumes: the sequence that a volume node shows one frame of, and the sequence of the registered frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import arrayFromVolume, vtkMatrixFromArray

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.orientation import RAS_LPS
from BSAFusionLib.mrml.convert import VolumeContent, volume_at
from BSAFusionLib.mrml.hierarchy import copy_unit
from BSAFusionLib.mrml.placement import FILLED_FROM, ijk_to_ras, parent_to_world
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    from BSAFusionLib.mrml.logic import Computed, Job

# Slicer 5.10 and later keep scene views in a hidden browser that has this as an attribute and as its value. A node in
# two of them is not dynamic for that. Source: vtkSlicerSceneViewsModuleLogic.
SCENE_VIEW = "SceneView"
ONTO = "BSAFusion.onto"  # node reference of a registered sequence: to the fixed volume


@dataclass(frozen=True)
class Dynamic:
    """The frames of a sequence at their place in the world.

    Attributes:
        sequence: The node.
        frames: All of them.
        registered: Numbers of those whose mean is registered, from 0.
    """

    sequence: slicer.vtkMRMLSequenceNode
    frames: tuple[Volume, ...]
    registered: tuple[int, ...]

    def mean(self) -> Volume:
        """Return the mean of the registered frames, float32."""
        first = self.frames[self.registered[0]]
        total = np.zeros(first.voxels.shape, np.float32)
        for number in self.registered:
            total += self.frames[number].voxels / np.float32(len(self.registered))
        return Volume(total, first.origin, first.spacing, first.direction)

    def remark(self) -> str:
        """Return what is done with the frames, a sentence."""
        return (
            f"'{self.sequence.GetName()}' has {len(self.frames)} frames: the mean of {len(self.registered)} of them, "
            "not weighted by their durations, was registered, and all were carried along."
        )


def sequence_of(volume: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLSequenceNode | None:
    """Return the sequence that a volume node shows one frame of; None for a single frame, and for a still volume."""
    for browser in nodes_of_class(volume.GetScene(), "vtkMRMLSequenceBrowserNode"):
        if browser.GetAttribute(SCENE_VIEW) == SCENE_VIEW:
            continue
        sequence = browser.GetSequenceNode(volume)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return sequence
    return None


def dynamic_of(volume: slicer.vtkMRMLScalarVolumeNode, frames: str | None) -> Dynamic | None:
    """Return the frames of the sequence that a volume node belongs to; the voxels are not copied.

    Args:
        volume: The node that shows one of the frames; its linear parent transforms count for all.
        frames: Those to register, counted from 1, such as "3-8,12"; None for all.

    Returns:
        None for a still volume.

    Raises:
        FusionError: Such frames do not exist, the frames differ in their grids, or the volume is still and frames are
            given.
    """
    sequence = sequence_of(volume)
    if sequence is None:
        if frames:
            raise FusionError(f"'{volume.GetName()}' does not belong to a sequence; choose no frames.")
        return None
    from BSAFusionLib.files.dynamic import chosen_frames  # here, since it imports SimpleITK

    nodes = [sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes())]
    place = parent_to_world(volume)
    volumes = tuple(_frame(node, place, sequence) for node in nodes)
    first = volumes[0]
    for other in volumes:
        same = np.allclose([*other.origin, *other.spacing], [*first.origin, *first.spacing], atol=1e-3)
        if other.voxels.shape != first.voxels.shape or not same or not np.allclose(other.direction, first.direction):
            raise FusionError(f"The frames of '{sequence.GetName()}' differ in their grids; resample them to one.")
    return Dynamic(sequence, volumes, chosen_frames(frames, len(volumes)))


def _frame(node: slicer.vtkMRMLNode, place: np.ndarray, sequence: slicer.vtkMRMLSequenceNode) -> Volume:
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.GetImageData() is None:
        raise FusionError(f"'{sequence.GetName()}' holds a frame that is no scalar volume; remove that frame.")
    voxels = arrayFromVolume(node)
    if voxels.ndim != 3:
        raise FusionError(f"The frames of '{sequence.GetName()}' are in color; choose a sequence of scalar volumes.")
    return volume_at(voxels, RAS_LPS @ place @ ijk_to_ras(node), node.GetName())


def put_registered_sequence(job: "Job", computed: "Computed", name: str) -> slicer.vtkMRMLSequenceNode | None:
    """Add the registered frames as a sequence with the same index, browsed together with the moving one.

    Args:
        job: The run.
        computed: Its outcome.
        name: Of the sequence; made unique in the scene.

    Returns:
        None for a still volume.
    """
    dynamic = job.dynamic
    if dynamic is None:
        return None
    scene = job.fixedVolume.GetScene()
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    for role, other in _pair(job, dynamic):
        sequence.SetNodeReferenceID(role, other.GetID())
    _fill(sequence, dynamic.sequence, computed.frames, job.movingVolume)
    for browser in nodes_of_class(scene, "vtkMRMLSequenceBrowserNode"):
        if browser.IsSynchronizedSequenceNode(dynamic.sequence, True):
            browser.AddSynchronizedSequenceNode(sequence)
    return sequence


def remove_former_sequences(job: "Job", sequence: slicer.vtkMRMLSequenceNode | None) -> None:
    """Remove the registered frames of former runs of the same volumes, whose name `sequence` takes."""
    if job.dynamic is None or sequence is None:
        return
    for node in nodes_of_class(sequence.GetScene(), "vtkMRMLSequenceNode"):
        of_pair = all(node.GetNodeReference(role) is other for role, other in _pair(job, job.dynamic))
        if of_pair and node is not sequence:
            _remove(node)
            sequence.SetName(node.GetName())


def _pair(job: "Job", dynamic: Dynamic) -> tuple[tuple[str, slicer.vtkMRMLNode], tuple[str, slicer.vtkMRMLNode]]:
    """Return the roles in which registered frames reference what they were made from, and those nodes."""
    return (FILLED_FROM, dynamic.sequence), (ONTO, job.fixedVolume)


def _remove(sequence: slicer.vtkMRMLSequenceNode) -> None:
    """Remove a sequence, and the volumes in which browsers show its frames, which would stay as still images."""
    scene = sequence.GetScene()
    for browser in nodes_of_class(scene, "vtkMRMLSequenceBrowserNode"):
        if browser.IsSynchronizedSequenceNode(sequence, True):
            shown = browser.GetProxyNode(sequence)
            browser.RemoveSynchronizedSequenceNode(sequence.GetID())
            if shown is not None and shown.GetScene() is scene:  # the browser removes only what it knows for its copy
                scene.RemoveNode(shown)
    scene.RemoveNode(sequence)


def _fill(
    sequence: slicer.vtkMRMLSequenceNode,
    like: slicer.vtkMRMLSequenceNode,
    frames: Sequence[VolumeContent],
    moving: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Fill a sequence with frames at the index values of another, in the unit of the moving volume."""
    sequence.SetIndexName(like.GetIndexName())
    sequence.SetIndexUnit(like.GetIndexUnit())
    sequence.SetIndexType(like.GetIndexType())
    sequence.SetNumericIndexValueTolerance(like.GetNumericIndexValueTolerance())
    for number, content in enumerate(frames):
        frame = slicer.vtkMRMLScalarVolumeNode()
        frame.SetName(sequence.GetName())
        frame.SetIJKToRASMatrix(vtkMatrixFromArray(content.ijk_to_ras))
        frame.SetAndObserveImageData(content.voxels)
        copy_unit(moving, sequence.SetDataNodeAtValue(frame, like.GetNthIndexValue(number)))  # no copy has the unit
