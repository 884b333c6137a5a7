"""Put the volumes of a finished run into the scene, each with the display that it is read in."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import slicer

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.convert import VolumeContent
from BSAFusionLib.mrml.hierarchy import copy_unit
from BSAFusionLib.mrml.nodes import put_volume
from BSAFusionLib.mrml.overlay import color_by_value, fused_meaning, show_new_values, shows_highest
from BSAFusionLib.mrml.placement import FILLED_FROM
from BSAFusionLib.pipeline.summary import DOUBTFUL, doubt_of

if TYPE_CHECKING:
    from BSAFusionLib.mrml.logic import Computed, Job
    from BSAFusionLib.pipeline.report import Report
    from BSAFusionLib.report.overlay import OverlayWindow

RGB_WINDOW = 0.0, 255.0  # in which colors are shown as they are


def put_fused(job: "Job", computed: "Computed", name: str) -> slicer.vtkMRMLVolumeNode:
    """Put the network's fused volume into the scene, with what its brightness shows as the node's description."""
    window = RGB_WINDOW if _in_color(computed.fused) else (0.0, 1.0)
    node = _put(job, computed.fused, name, job.fusedVolume, window)
    node.SetDescription(fused_meaning(computed.report.modality))
    return node


def put_registered(job: "Job", computed: "Computed", name: str) -> slicer.vtkMRMLVolumeNode | None:
    """Put the registered volume into the scene, in the colors of the overlay; None where it was not requested."""
    if computed.registered is None:
        return None
    overlay = computed.pictures.overlay
    label = MODALITIES[computed.report.modality].label
    node = _put_by_value(job, computed.registered, name, job.registeredVolume, overlay, label, overlay.shown_from)
    copy_unit(job.movingVolume, node)
    return node


def put_expected_error(job: "Job", computed: "Computed", name: str) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Put the expected error into the scene, in mm and in colors; None where it was not requested or is not known."""
    if computed.expectedError is None:
        return None
    given, window = job.outputs.expectedErrorVolume, computed.pictures.error_window()
    quantity = "Expected error, if right" if computed.report.verdict.doubtful else "Expected error"
    return _put_by_value(job, computed.expectedError, name, given, window, quantity, shown_from=0.0)


def describe_doubt(nodes: Iterable[slicer.vtkMRMLNode | None], report: "Report") -> None:
    """Let the descriptions of a result's nodes begin with its doubt, which a saved scene shows nowhere else.

    The doubt of a former run is removed.
    """
    doubt = doubt_of(report.as_dict())
    for node in filter(None, nodes):
        text = node.GetDescription() or ""
        kept = "" if text.startswith(DOUBTFUL) else text
        node.SetDescription(" ".join(filter(None, (doubt, kept))))


def remove_former_error(job: "Job", computed: "Computed") -> None:
    """Remove the expected error that a former run of this volume put into the given node, where it is not known now."""
    given = job.outputs.expectedErrorVolume
    if computed.expectedError is not None or not _filled_before(given, job):
        return
    scene = given.GetScene()
    displays = [given.GetNthDisplayNode(number) for number in range(given.GetNumberOfDisplayNodes())]
    for node in (given, given.GetStorageNode(), *displays):
        if node is not None and node.GetScene() is scene:
            scene.RemoveNode(node)


def _put_by_value(
    job: "Job",
    content: VolumeContent,
    name: str,
    given: slicer.vtkMRMLVolumeNode | None,
    values: "OverlayWindow",
    quantity: str,
    shown_from: float,
) -> slicer.vtkMRMLVolumeNode:
    """Put a volume into the scene in the overlay's colors, or in the display that it had since a former run."""
    highest_too = shows_highest(given)
    node = _put(job, content, name, given, RGB_WINDOW if _in_color(content) else (values.low, values.high))
    if _filled_before(given, job):
        show_new_values(node, values, quantity, highest_too)
    else:
        color_by_value(node, values, quantity, shown_from)
    return node


def _put(
    job: "Job",
    content: VolumeContent,
    name: str,
    given: slicer.vtkMRMLVolumeNode | None,
    window: tuple[float, float],
) -> slicer.vtkMRMLVolumeNode:
    window = None if _filled_before(given, job) else window
    return put_volume(job.fixedVolume.GetScene(), content, name, given, window=window)


def _filled_before(given: slicer.vtkMRMLVolumeNode | None, job: "Job") -> bool:
    """Return True for a node that a former run of this volume filled; it keeps the display that the user chose."""
    return given is not None and given.GetNodeReference(FILLED_FROM) is job.movingVolume


def _in_color(content: VolumeContent) -> bool:
    return content.voxels.GetNumberOfScalarComponents() > 1
