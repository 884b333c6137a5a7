"""The panel's choices in a parameter node of the scene, and the request to the logic that they make."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from BSAFusionLib.color_maps import COLOR_MAPS
from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.placement import result_of
from BSAFusionLib.mrml.request import Outputs, camelCase
from BSAFusionLib.mrml.scene import nodes_of_class
from BSAFusionLib.mrml.sequences import sequence_of
from BSAFusionLib.presets import Preset, preset_of
from BSAFusionLib.settings import AUTO, Settings, options

# The wrapper needs the None to clear a choice of more than one class.
AnyMask = Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
AnyVolume = Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode, None]  # noqa: UP007


class _Choice(Enum):
    """One of the values that Settings allows; most values need no translation."""

    def label(self) -> str:
        """Return the text that the panel shows."""
        if self.value == AUTO:
            return _("Automatic")
        rows = {**MODALITIES, **COLOR_MAPS}
        return rows[self.value].label if self.value in rows else self.value


def _choice(name: str, values: Iterable[str]) -> type[_Choice]:
    return _Choice(name, {value.upper(): value for value in values}, module=__name__)


# Saved scenes hold the names of the members, so these stay as they are.
Modality = _choice("Modality", (AUTO, *MODALITIES))
ENUMS = {name: _choice(camelCase(f"_{name}"), option.values) for name, option in options().items() if option.values}
SliceAxis, Precision = ENUMS["slice_axis"], ENUMS["precision"]


class _Labeled(Enum):
    """A choice with a text of its own for each member."""

    def label(self) -> str:
        """Return the text that the panel shows."""
        labels = {
            Start.RIGID: _("Rigid registration"),
            Start.PLACED: _("As placed"),
            Start.TRANSFORM: _("Linear transform"),
            View.OVERLAY: _("Overlay"),
            View.FUSED: _("BSAFusion fused"),
            View.BLEND: _("Fixed and moving"),
            View.CHECKERBOARD: _("Checkerboard"),
            View.EXPECTED_ERROR: _("Expected error"),
        }
        return labels[self]


class Start(_Labeled):
    """The initial transform of the moving volume."""

    RIGID = "rigid"
    PLACED = "none"
    TRANSFORM = "transform"


class View(_Labeled):
    """The volumes in the slice views."""

    OVERLAY = "overlay"
    FUSED = "fused"
    BLEND = "blend"
    CHECKERBOARD = "checkerboard"
    EXPECTED_ERROR = "expectedError"


# Choices that the panel offers in another form than Settings: as `start` and `ctWindow...` below.
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


# A result: its report as JSON, the volumes that it aligned, and what it made of them.
_RESULT = {
    "report": str,
    "reportFixedVolume": slicer.vtkMRMLScalarVolumeNode,
    "reportMovingVolume": AnyVolume,
    "reportFusedVolume": AnyVolume,
    "reportGridTransform": slicer.vtkMRMLGridTransformNode,
    "reportRegisteredVolume": AnyVolume,
    "reportRigidTransform": slicer.vtkMRMLLinearTransformNode,
    "reportNetworkTransform": slicer.vtkMRMLGridTransformNode,
    "reportExpectedErrorVolume": slicer.vtkMRMLScalarVolumeNode,
}
# Attribute of the node of a kept result, by which it is found in a scene.
RESULT = "BSAFusion.result"
# The nodes among them that a run fills.
_FILLED = tuple(name for name in _RESULT if name not in ("report", "reportFixedVolume", "reportMovingVolume"))


def _with_result(cls: type) -> type:
    """Add a parameter for every part of a result."""
    cls.__annotations__.update(_RESULT)
    return cls


@parameterNodeWrapper
@_with_result
class KeptResult:
    """The result of one pair of volumes, its landmarks and what moved along, in a node that is saved with the scene."""

    fixedLandmarks: slicer.vtkMRMLMarkupsFiducialNode
    movingLandmarks: slicer.vtkMRMLMarkupsFiducialNode
    carry: list[slicer.vtkMRMLDisplayableNode]


@parameterNodeWrapper
@_with_choices
@_with_result
class Parameters:
    """The choices, by the SlicerParameterName of the .ui file's widgets; saved scenes store these names."""

    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: AnyVolume
    modality: Modality = Modality.AUTO
    frames: str = ""
    start: Start = Start.RIGID
    startTransform: slicer.vtkMRMLLinearTransformNode
    fixedMask: AnyMask
    furtherVolumes: list[slicer.vtkMRMLScalarVolumeNode]

    fusedVolume: AnyVolume
    gridTransform: slicer.vtkMRMLGridTransformNode
    registeredVolume: AnyVolume
    makeRegistered: bool = True
    makeExpectedError: bool = True
    split: bool = False
    carry: list[slicer.vtkMRMLDisplayableNode]

    ctWindowAutomatic: bool = True
    ctWindowCentre: Annotated[float, WithinRange(-2000, 4000)] = 40.0
    ctWindowWidth: Annotated[float, WithinRange(1, 8000)] = 80.0

    view: View = View.OVERLAY
    blend: Annotated[float, WithinRange(0, 1)] = 0.5
    checkerFields: Annotated[int, WithinRange(2, 32)] = 8
    flickerRate: Annotated[float, WithinRange(0.2, 10)] = 1.0
    gridInSlices: bool = False
    gridIn3D: bool = False
    gridByDisplacement: bool = True
    gridOfNetwork: bool = False
    gridSpacing: Annotated[float, WithinRange(1, 100)] = 10.0

    # The results of all pairs, a node each; the one that is shown is copied to the parameters of `_with_result`. Above
    # stands where the next one is to go.
    results: list[slicer.vtkMRMLScriptedModuleNode]
    checkerboardVolume: slicer.vtkMRMLVectorVolumeNode
    fixedLandmarks: slicer.vtkMRMLMarkupsFiducialNode
    movingLandmarks: slicer.vtkMRMLMarkupsFiducialNode


def replace_unknown(node: slicer.vtkMRMLScriptedModuleNode) -> str:
    """Set choices that this version does not have, as a newer one may have saved them, to their defaults.

    Without that, `Parameters` cannot be made of the node.

    Args:
        node: The parameter node.

    Returns:
        A sentence that names them; "" where there are none.
    """
    replaced = []
    for name, info in Parameters.allParameters.items():
        default, saved = info.default.value, node.GetParameter(name)
        if isinstance(default, Enum) and node.HasParameter(name) and saved not in type(default).__members__:
            node.SetParameter(name, default.name)
            replaced.append(f"{name} = {saved}")
    if not replaced:
        return ""
    return _("Choices of the scene that this version does not have were set to their defaults: {choices}.").format(
        choices=", ".join(replaced)
    )


# Choices of a run that `reset` sets back. The modality is not among them: it belongs to the moving volume.
_SETTINGS = (
    "start",
    "ctWindowAutomatic",
    "ctWindowCentre",
    "ctWindowWidth",
    *(camelCase(name) for name in options() if name not in _IN_ANOTHER_FORM),
)


def reset(parameters: Parameters) -> None:
    """Set all settings of a run to their defaults, in one modification; inputs, outputs and display stay."""
    with slicer.util.NodeModify(parameters.parameterNode):
        for name in _SETTINGS:
            parameters.setValue(name, parameters.default(name).value)


def apply_preset(parameters: Parameters, preset: Preset) -> None:
    """Set the choices that a preset determines, in one modification."""
    with slicer.util.NodeModify(parameters.parameterNode):
        for name, value in preset.settings.items():
            if name == "prealignment":
                parameters.start = Start(value)
            else:
                parameters.setValue(camelCase(name), ENUMS[name](value) if name in ENUMS else value)


def chosen_preset(parameters: Parameters) -> Preset | None:
    """Return the preset that the choices agree with."""
    return preset_of({"prealignment": parameters.start.value, **_plain_choices(parameters)})


def is_dynamic(parameters: Parameters) -> bool:
    """Return True where the moving volume shows a frame of a sequence."""
    return parameters.movingVolume is not None and sequence_of(parameters.movingVolume) is not None


def kept_results(parameters: Parameters) -> list[KeptResult]:
    """Return the results whose moving volume is still in the scene, in the order of their first runs."""
    kept = [KeptResult(node) for node in parameters.results if node is not None]
    return [result for result in kept if result.reportMovingVolume is not None]


def gather_results(parameters: Parameters) -> None:
    """List all kept results of the scene; a scene that was added has replaced the list by its own."""
    listed = [node for node in parameters.results if node is not None]
    for node in listed:
        if node.GetAttribute(RESULT) is None:  # kept by an older version
            node.SetAttribute(RESULT, "1")
    nodes = nodes_of_class(parameters.parameterNode.GetScene(), "vtkMRMLScriptedModuleNode")
    missing = [node for node in nodes if node.GetAttribute(RESULT) is not None and node not in listed]
    if missing:
        parameters.results = [*listed, *missing]


def keep_result(
    parameters: Parameters, values: Mapping[str, Any], carry: Iterable[slicer.vtkMRMLDisplayableNode] = ()
) -> None:
    """Keep a result beside those of other pairs of volumes; it replaces the former one of its own pair.

    Results of other pairs whose nodes it has filled are removed.

    Args:
        parameters: The panel's parameters.
        values: By the names of `_RESULT`.
        carry: The nodes that moved along.
    """
    pair = values["reportFixedVolume"], values["reportMovingVolume"]
    kept = _kept_of(parameters, *pair)
    _remove_overwritten(parameters, values, kept)
    if kept is None:
        scene = pair[0].GetScene()
        name = scene.GenerateUniqueName(_("BSAFusion result of {name}").format(name=pair[1].GetName()))
        node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", name)
        node.SetAttribute(RESULT, "1")
        kept = KeptResult(node)
        parameters.results = [*(other for other in parameters.results if other is not None), node]
    _copy_result(values, kept)
    kept.carry = list(carry)


def _remove_overwritten(parameters: Parameters, values: Mapping[str, Any], kept: KeptResult | None) -> None:
    """Remove the results, but for the kept one of this pair, that have a node which a run has filled."""
    filled = {values[name] for name in _FILLED} - {None}
    for node in [node for node in parameters.results if node is not None]:
        other = KeptResult(node)
        is_of_pair = kept is not None and kept.parameterNode is node
        if not is_of_pair and not filled.isdisjoint(other.getValue(name) for name in _FILLED):
            node.GetScene().RemoveNode(node)


def keep_network_transform(parameters: Parameters, node: slicer.vtkMRMLGridTransformNode | None) -> None:
    """Keep the node of the network's part with the result that is shown, and for its row."""
    parameters.reportNetworkTransform = node
    kept = _kept_of(parameters, parameters.reportFixedVolume, parameters.reportMovingVolume)
    if kept is not None and kept.reportGridTransform is parameters.reportGridTransform:
        kept.reportNetworkTransform = node


def former_parts(parameters: Parameters, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return both parts of a transform that a run has filled again, by their names in `_RESULT`.

    Args:
        parameters: The panel's parameters, and the kept results, as they were before that run.
        values: Those of its result.
    """
    pair = values["reportFixedVolume"], values["reportMovingVolume"]
    last = _kept_of(parameters, *pair) or parameters  # a scene of an older version has kept none
    made = last.reportFixedVolume, last.reportMovingVolume, last.reportGridTransform
    if made != (*pair, values["reportGridTransform"]):
        return {}
    return {name: last.getValue(name) for name in ("reportRigidTransform", "reportNetworkTransform")}


def show_result(parameters: Parameters, values: Mapping[str, Any] | KeptResult) -> None:
    """Make a result the one that the panel shows, in one modification."""
    if isinstance(values, KeptResult):
        values = {name: values.getValue(name) for name in _RESULT}
    _copy_result(values, parameters)


def is_shown(parameters: Parameters, result: KeptResult) -> bool:
    """Return True for the result that the panel shows."""
    return all(parameters.getValue(name) == result.getValue(name) for name in ("report", "reportMovingVolume"))


def take_up_pair(parameters: Parameters, landmarks_too: bool) -> None:
    """Choose what was chosen with the result of the chosen volumes; leave to other volumes what is theirs.

    Args:
        parameters: The panel's parameters, with volumes that were just chosen.
        landmarks_too: Also choose the point lists of their result.
    """
    moving, kept = parameters.movingVolume, _kept_of(parameters, parameters.fixedVolume, parameters.movingVolume)
    chosen = carried(parameters) if kept is None else [node for node in kept.carry if node is not None]
    parameters.carry = [node for node in chosen if node is moving or result_of(node) in (None, moving)]
    lists = parameters.fixedLandmarks, parameters.movingLandmarks
    others = [KeptResult(node) for node in parameters.results if node is not None]
    if landmarks_too and kept is not None:
        parameters.fixedLandmarks, parameters.movingLandmarks = kept.fixedLandmarks, kept.movingLandmarks
    elif landmarks_too and any((other.fixedLandmarks, other.movingLandmarks) == lists for other in others):
        parameters.fixedLandmarks = parameters.movingLandmarks = None


def landmarks_shown(
    parameters: Parameters,
) -> tuple[slicer.vtkMRMLMarkupsNode | None, slicer.vtkMRMLMarkupsNode | None]:
    """Return the point lists on the volumes of the result that is shown.

    The chosen lists lie on the chosen volumes.
    """
    shown = parameters.reportFixedVolume, parameters.reportMovingVolume
    if shown == (parameters.fixedVolume, parameters.movingVolume):
        return parameters.fixedLandmarks, parameters.movingLandmarks
    kept = _kept_of(parameters, *shown)
    return (None, None) if kept is None else (kept.fixedLandmarks, kept.movingLandmarks)


def keep_landmarks(parameters: Parameters) -> None:
    """Keep the chosen point lists with the result of the chosen volumes, if there is one."""
    chosen = parameters.fixedLandmarks, parameters.movingLandmarks
    kept = _kept_of(parameters, parameters.fixedVolume, parameters.movingVolume)
    if kept is not None and (kept.fixedLandmarks, kept.movingLandmarks) != chosen:
        kept.fixedLandmarks, kept.movingLandmarks = chosen


def result_nodes(parameters: Parameters, name: str) -> list[slicer.vtkMRMLNode]:
    """Return the nodes that the results of all pairs have under a name of `_RESULT`."""
    nodes = [parameters.getValue(name), *(kept.getValue(name) for kept in kept_results(parameters))]
    return [node for node in nodes if node is not None]


def _copy_result(values: Mapping[str, Any], to: Parameters | KeptResult) -> None:
    with slicer.util.NodeModify(to.parameterNode):
        for name in _RESULT:
            to.setValue(name, values[name])


def _kept_of(
    parameters: Parameters, fixed: slicer.vtkMRMLNode | None, moving: slicer.vtkMRMLNode | None
) -> KeptResult | None:
    """Return the result of a pair of volumes."""
    for kept in kept_results(parameters):
        if (kept.reportFixedVolume, kept.reportMovingVolume) == (fixed, moving):
            return kept
    return None


def carried(parameters: Parameters) -> list[slicer.vtkMRMLDisplayableNode]:
    """Return the nodes that are chosen to move along and still in the scene."""
    return [node for node in parameters.carry if node is not None]


def further(parameters: Parameters) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Return the moving volumes beside the first one that are chosen and still in the scene."""
    return [node for node in parameters.furtherVolumes if node not in (None, parameters.movingVolume)]


def further_requests(parameters: Parameters) -> list[dict[str, Any]]:
    """Return the requests of the further moving volumes, each with outputs of its own; nothing moves along.

    Raises:
        FusionError: One of them is an output of the first run, which would overwrite it; or as in `request`.
    """
    outputs = Outputs(
        makeRegistered=parameters.makeRegistered,
        split=parameters.split,
        makeExpectedError=parameters.makeExpectedError,
    )
    first = request(parameters)
    for node in further(parameters):
        if node in first["outputs"].nodes():
            raise FusionError(
                _(
                    "'{name}' is chosen under Also register and is an output, which would overwrite it; uncheck it "
                    "there, or choose another output."
                ).format(name=node.GetName())
            )
    return [
        {**first, "movingVolume": node, "outputs": outputs, "carry": [], "frames": None} for node in further(parameters)
    ]


def request(parameters: Parameters) -> dict[str, Any]:
    """Return the arguments of BSAFusionLogic.check and prepare.

    Raises:
        FusionError: The initial transform is to be a node, and none is chosen; or the landmarks on the fixed volume are
            to move along.
    """
    points = parameters.fixedLandmarks
    if points is not None and points in carried(parameters):  # a run gets no landmarks that could be checked there
        raise FusionError(
            _("'{name}' cannot move along: it has the landmarks on the fixed volume; choose another.").format(
                name=points.GetName()
            )
        )
    return {
        "fixedVolume": parameters.fixedVolume,
        "movingVolume": parameters.movingVolume,
        "outputs": Outputs(
            parameters.fusedVolume,
            parameters.gridTransform,
            parameters.registeredVolume if parameters.makeRegistered else None,
            parameters.makeRegistered,
            makeExpectedError=parameters.makeExpectedError,
            **{"split": parameters.split, **_filled_without_choice(parameters)},
        ),
        "carry": carried(parameters),
        "fixedMask": parameters.fixedMask,
        "frames": parameters.frames if is_dynamic(parameters) and parameters.frames else None,
        **_choices(parameters),
    }


def _filled_without_choice(parameters: Parameters) -> dict[str, Any]:
    """Return the outputs that have no selector, where the last run of the same volumes made them."""
    inputs, filled = (parameters.fixedVolume, parameters.movingVolume), {}
    last = _kept_of(parameters, *inputs) or parameters  # a scene of an older version has kept none
    made = last.reportFixedVolume, last.reportMovingVolume, last.reportGridTransform
    if made != (*inputs, parameters.gridTransform):
        return filled
    if parameters.split or last.reportRigidTransform is not None:
        # Also where it is not chosen any more: else nodes below would lie under one part of either run.
        filled["split"] = True
        filled["rigidTransform"] = last.reportRigidTransform
        filled["networkTransform"] = last.reportNetworkTransform
    if parameters.makeExpectedError:
        filled["expectedErrorVolume"] = last.reportExpectedErrorVolume
    return filled


def _choices(parameters: Parameters) -> dict[str, Any]:
    """Return the choices by the fields of Settings."""
    initial = parameters.start.value
    if parameters.start is Start.TRANSFORM:
        initial = parameters.startTransform
        if initial is None:
            raise FusionError(_("Choose the initial transform, or another initialization."))
    window = None if parameters.ctWindowAutomatic else (parameters.ctWindowCentre, parameters.ctWindowWidth)
    return {
        "modality": parameters.modality.value,
        "prealignment": initial,
        "ct_window": window,
        **_plain_choices(parameters),
    }


def _plain_choices(parameters: Parameters) -> dict[str, Any]:
    """Return the choices that have the same form here and in Settings, by its fields."""
    choices = {}
    for name in options():
        if name not in _IN_ANOTHER_FORM:
            value = getattr(parameters, camelCase(name))
            value = value.value if isinstance(value, Enum) else value
            # An empty text or a zero stands for None, which no widget can show.
            choices[name] = None if getattr(Settings, name) is None and not value else value
    return choices
