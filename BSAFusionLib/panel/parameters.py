"""Every choice of the panel, kept in a parameter node of the scene, and what the logic is asked for by them."""

from enum import Enum
from typing import Annotated, Any, Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.settings import Settings

# The None is what the wrapper needs to take a choice of more than one class back.
AnyVolume = Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode, None]  # noqa: UP007


class _ModalityChoice(Enum):
    """A choice of modality, or of finding it out."""

    def label(self) -> str:
        """Return the text that the panel shows."""
        return _("Automatic") if self.value == "auto" else MODALITIES[self.value].label


# What the moving volume is; the values are those of Settings.
Modality = _ModalityChoice("Modality", {"AUTO": "auto", **{name.upper(): name for name in MODALITIES}}, module=__name__)


class Start(Enum):
    """Where the moving volume is taken to lie at first."""

    RIGID = "rigid"
    PLACED = "none"
    TRANSFORM = "transform"

    def label(self) -> str:
        labels = {
            Start.RIGID: _("Rigid pre-alignment"),
            Start.PLACED: _("As placed"),
            Start.TRANSFORM: _("A transform"),
        }
        return labels[self]


class SliceAxis(Enum):
    """The index axis of the fixed volume that slices are cut across; the values are those of Settings."""

    AUTO = "auto"
    I = "i"  # noqa: E741  (Slicer's own name of the axis)
    J = "j"
    K = "k"

    def label(self) -> str:
        return _("Automatic") if self is SliceAxis.AUTO else self.name


class Precision(Enum):
    """What the network is computed in; the values are those of Settings."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    def label(self) -> str:
        return self.value  # a name of PyTorch, the same in every language


class View(Enum):
    """What the slice views show."""

    FUSED = "fused"
    BLEND = "blend"
    CHECKERBOARD = "checkerboard"

    def label(self) -> str:
        labels = {
            View.FUSED: _("Fused volume"),
            View.BLEND: _("Fixed and moving"),
            View.CHECKERBOARD: _("Checkerboard"),
        }
        return labels[self]


@parameterNodeWrapper
class Parameters:
    """The choices, under the names that the .ui file's widgets have as SlicerParameterName."""

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: AnyVolume
    modality: Modality = Modality.AUTO
    start: Start = Start.RIGID
    startTransform: slicer.vtkMRMLLinearTransformNode

    fusedVolume: AnyVolume
    gridTransform: slicer.vtkMRMLGridTransformNode
    registeredVolume: AnyVolume
    makeRegistered: bool = True
    carry: list[slicer.vtkMRMLDisplayableNode]

    device: str = Settings.device
    precision: Precision = Precision.FLOAT32
    sliceAxis: SliceAxis = SliceAxis.AUTO
    ctWindowAutomatic: bool = True
    ctWindowCentre: Annotated[float, WithinRange(-2000, 4000)] = 40.0
    ctWindowWidth: Annotated[float, WithinRange(1, 8000)] = 80.0
    batchSize: Annotated[int, WithinRange(0, 256)] = 0
    throughPlaneSmoothing: Annotated[float, WithinRange(0, 50)] = Settings.through_plane_smoothing
    strength: Annotated[float, WithinRange(0, 1)] = Settings.strength
    threeAxes: bool = Settings.three_axes
    refine: bool = Settings.refine
    doNoHarm: bool = Settings.do_no_harm
    foldFree: bool = Settings.fold_free
    weights: str = ""

    view: View = View.FUSED
    blend: Annotated[float, WithinRange(0, 1)] = 0.5
    checkerFields: Annotated[int, WithinRange(2, 32)] = 8
    flickerRate: Annotated[float, WithinRange(0.2, 10)] = 1.0
    gridInSlices: bool = True
    gridIn3D: bool = False
    gridByDisplacement: bool = True
    gridSpacing: Annotated[float, WithinRange(1, 100)] = 10.0

    # The last run: its report as JSON, the volumes that it aligned, what it made of them (above stands where the next
    # one is to go), and the checkerboard.
    report: str = ""
    reportFixedVolume: slicer.vtkMRMLScalarVolumeNode
    reportMovingVolume: AnyVolume
    reportFusedVolume: AnyVolume
    reportGridTransform: slicer.vtkMRMLGridTransformNode
    reportRegisteredVolume: AnyVolume
    checkerboardVolume: slicer.vtkMRMLVectorVolumeNode
    fixedLandmarks: slicer.vtkMRMLMarkupsFiducialNode
    movingLandmarks: slicer.vtkMRMLMarkupsFiducialNode


def carried(parameters: Parameters) -> list[slicer.vtkMRMLDisplayableNode]:
    """The nodes chosen to go along that are still in the scene."""
    return [node for node in parameters.carry if node is not None]


def asked(parameters: Parameters) -> dict[str, Any]:
    """The arguments of BSAFusionLogic.check and prepare; FusionError where a start is chosen but not which."""
    prealignment = parameters.start.value
    if parameters.start is Start.TRANSFORM:
        prealignment = parameters.startTransform
        if prealignment is None:
            raise FusionError(_("Choose the transform to start from, or another start."))
    window = None if parameters.ctWindowAutomatic else (parameters.ctWindowCentre, parameters.ctWindowWidth)
    return {
        "fixedVolume": parameters.fixedVolume,
        "movingVolume": parameters.movingVolume,
        "fusedVolume": parameters.fusedVolume,
        "gridTransform": parameters.gridTransform,
        "registeredVolume": parameters.registeredVolume if parameters.makeRegistered else None,
        "modality": parameters.modality.value,
        "prealignment": prealignment,
        "sliceAxis": parameters.sliceAxis.value,
        "ctWindow": window,
        "device": parameters.device,
        "precision": parameters.precision.value,
        "batchSize": parameters.batchSize or None,
        "throughPlaneSmoothing": parameters.throughPlaneSmoothing,
        "strength": parameters.strength,
        "threeAxes": parameters.threeAxes,
        "refine": parameters.refine,
        "doNoHarm": parameters.doNoHarm,
        "foldFree": parameters.foldFree,
        "weights": parameters.weights or None,
        "carry": carried(parameters),
    }
