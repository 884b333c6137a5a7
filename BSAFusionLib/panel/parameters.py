"""Every choice of the panel, kept in a parameter node of the scene, and what the logic is asked for by them."""

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.request import Outputs, camelCase
from BSAFusionLib.settings import AUTO, Settings, options

# The None is what the wrapper needs to take a choice of more than one class back.
AnyVolume = Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode, None]  # noqa: UP007


class _Choice(Enum):
    """A choice among the few values that Settings allows; a value is its own name in every language."""

    def label(self) -> str:
        """Return the text that the panel shows."""
        if self.value == AUTO:
            return _("Automatic")
        return MODALITIES[self.value].label if self.value in MODALITIES else self.value


def _choice(name: str, values: Iterable[str]) -> type[_Choice]:
    return _Choice(name, {value.upper(): value for value in values}, module=__name__)


# Saved scenes hold the names of the members, so these stay as they are.
Modality = _choice("Modality", (AUTO, *MODALITIES))
ENUMS = {name: _choice(camelCase(f"_{name}"), option.values) for name, option in options().items() if option.values}
SliceAxis, Precision = ENUMS["slice_axis"], ENUMS["precision"]


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


# The choices that the panel offers in another form than Settings has them: as `start` and `ctWindow...` below.
_IN_ANOTHER_FORM = ("prealignment", "ct_window")


def _with_choices(cls: type) -> type:
    """Add a parameter for every other choice of Settings, under its name in Slicer's style."""
    for name, option in options().items():
        if name not in _IN_ANOTHER_FORM:
            default = getattr(Settings, name)
            if option.values:
                kind: Any = ENUMS[name]
                default = kind(default)
            elif option.kind is None:
                kind = bool
            else:
                kind = Annotated[option.kind, WithinRange(*option.bounds)] if option.bounds else option.kind
                default = option.kind() if default is None else default
            cls.__annotations__[camelCase(name)] = kind
            setattr(cls, camelCase(name), default)
    return cls


@parameterNodeWrapper
@_with_choices
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

    ctWindowAutomatic: bool = True
    ctWindowCentre: Annotated[float, WithinRange(-2000, 4000)] = 40.0
    ctWindowWidth: Annotated[float, WithinRange(1, 8000)] = 80.0

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


def request(parameters: Parameters) -> dict[str, Any]:
    """Return the arguments of BSAFusionLogic.check and prepare.

    Raises:
        FusionError: A transform is chosen to start from, but not which.
    """
    return {
        "fixedVolume": parameters.fixedVolume,
        "movingVolume": parameters.movingVolume,
        "outputs": Outputs(
            parameters.fusedVolume,
            parameters.gridTransform,
            parameters.registeredVolume if parameters.makeRegistered else None,
            parameters.makeRegistered,
        ),
        "carry": carried(parameters),
        **_choices(parameters),
    }


def _choices(parameters: Parameters) -> dict[str, Any]:
    """Return the choices by the fields of Settings."""
    start = parameters.start.value
    if parameters.start is Start.TRANSFORM:
        start = parameters.startTransform
        if start is None:
            raise FusionError(_("Choose the transform to start from, or another start."))
    window = None if parameters.ctWindowAutomatic else (parameters.ctWindowCentre, parameters.ctWindowWidth)
    choices = {"modality": parameters.modality.value, "prealignment": start, "ct_window": window}
    for name in options():
        if name not in choices:
            value = getattr(parameters, camelCase(name))
            value = value.value if isinstance(value, Enum) else value
            # An empty text or a zero stands for None, which no widget can show.
            choices[name] = None if getattr(Settings, name) is None and not value else value
    return choices
