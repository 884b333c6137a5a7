"""The panel's inputs, outputs and settings: detected modality, names of new nodes, choices that apply."""

from types import SimpleNamespace

import qt
import slicer
from slicer.i18n import tr as _
from vtkmodules.vtkCommonCore import vtkCommand

from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.logic import BSAFusionLogic
from BSAFusionLib.panel.parameters import (
    Modality,
    Parameters,
    Start,
    carried,
    further,
    is_dynamic,
    result_nodes,
    take_up_pair,
)


class Choices:
    """Updates these sections from the parameter node, beyond its own connection to the widgets."""

    def __init__(self, ui: SimpleNamespace, logic: BSAFusionLogic) -> None:
        self._ui, self._logic = ui, logic
        self._parameters: Parameters | None = None
        self._inputs: tuple = ()
        self._landmarks: tuple = ()
        self._observed: list[tuple[slicer.vtkMRMLNode, int]] = []  # inputs, whose names the outputs get
        self._outputs = ui.fusedVolumeSelector, ui.gridTransformSelector, ui.registeredVolumeSelector
        self._explanations = [selector.toolTip for selector in self._outputs]
        # The path's own signal is silent where the name filters do not fit: when it is cleared, for one.
        editor = ui.weightsPathLineEdit.findChild(qt.QLineEdit)
        editor.connect("textChanged(QString)", self._weightsChosen)
        ui.carrySelector.connect("checkedNodesChanged()", self._carryChosen)
        ui.furtherVolumesSelector.connect("checkedNodesChanged()", self._furtherChosen)

    def follow(self, parameters: Parameters | None) -> None:
        """Show the choices of a parameter node from now on, or none."""
        self._parameters = parameters
        self._inputs = self._landmarks = ()
        if parameters is not None:
            self._inputs = parameters.fixedVolume, parameters.movingVolume
        self._followNames()
        self.update()

    def update(self) -> None:
        """Update the widgets from the parameter node."""
        ui, parameters = self._ui, self._parameters
        if parameters is None:
            return
        self._keepLastResult()
        self._landmarks = parameters.fixedLandmarks, parameters.movingLandmarks
        self._keepLastFused()
        ui.modalityFoundLabel.text = self._modalityFound()
        ui.modalityFoundLabel.visible = bool(ui.modalityFoundLabel.text)
        by_transform = parameters.start is Start.TRANSFORM
        ui.startTransformSelector.visible = ui.startTransformSelectorLabel.visible = by_transform
        ui.framesLineEdit.visible = ui.framesLineEditLabel.visible = is_dynamic(parameters)
        ui.registeredVolumeSelector.enabled = parameters.makeRegistered
        for widget in (ui.ctWindowCentreSpinBox, ui.ctWindowWidthSpinBox):
            widget.enabled = not parameters.ctWindowAutomatic
        self._nameCreated()
        if ui.weightsPathLineEdit.currentPath != parameters.weights:
            ui.weightsPathLineEdit.currentPath = parameters.weights
        self._check(ui.carrySelector, carried(parameters))
        self._check(ui.furtherVolumesSelector, further(parameters))

    def _keepLastResult(self) -> None:
        """Give other inputs outputs of their own, so that no node keeps the name of another volume."""
        parameters = self._parameters
        inputs = parameters.fixedVolume, parameters.movingVolume
        if inputs == self._inputs:
            return
        self._inputs = inputs
        self._followNames()
        with slicer.util.NodeModify(parameters.parameterNode):
            if parameters.fusedVolume in result_nodes(parameters, "reportFusedVolume"):
                parameters.fusedVolume = None
            if parameters.gridTransform in result_nodes(parameters, "reportGridTransform"):
                parameters.gridTransform = None
            if parameters.registeredVolume in result_nodes(parameters, "reportRegisteredVolume"):
                parameters.registeredVolume = None
            # Point lists that were chosen in the same moment as the volumes are meant for these.
            sameLists = self._landmarks == (parameters.fixedLandmarks, parameters.movingLandmarks)
            take_up_pair(parameters, landmarks_too=sameLists)

    def _followNames(self) -> None:
        """Observe the inputs, which may be renamed."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        inputs = [node for node in self._inputs if node is not None]
        self._observed = [(node, node.AddObserver(vtkCommand.ModifiedEvent, self._inputModified)) for node in inputs]

    def _inputModified(self, caller: object = None, event: object = None) -> None:
        if self._parameters is not None:
            self._nameCreated()

    def _keepLastFused(self) -> None:
        """Give another modality a fused volume of its own where one is in color and the other gray."""
        parameters = self._parameters
        fused, moving = parameters.fusedVolume, parameters.movingVolume
        if None in (fused, moving) or fused not in result_nodes(parameters, "reportFusedVolume"):
            return
        if moving.GetImageData() is None:
            return
        modality = parameters.modality.value
        if parameters.modality is Modality.AUTO:
            modality, _by_dicom = self._logic.foundModality(moving)
        if MODALITIES[modality].in_color != (fused.GetImageData().GetNumberOfScalarComponents() == 3):
            parameters.fusedVolume = None

    def _modalityFound(self) -> str:
        volume = self._parameters.movingVolume
        if self._parameters.modality is not Modality.AUTO or volume is None or volume.GetImageData() is None:
            return ""
        modality, by_dicom = self._logic.foundModality(volume)
        text = _("{modality}, by DICOM") if by_dicom else _("{modality}, by the intensities")
        return text.format(modality=modality.upper())

    def _nameCreated(self) -> None:
        """Show the names of the nodes that the next run creates.

        The selectors do not show them: Slicer's qMRMLNodeComboBox selects another node when its noneDisplay changes.
        """
        ui, parameters = self._ui, self._parameters
        fixed, moving = parameters.fixedVolume, parameters.movingVolume
        names = self._logic.outputNames(fixed, moving) if None not in (fixed, moving) else [""] * 3
        wanted = (True, True, parameters.makeRegistered)
        created = []
        for selector, explanation, name, isWanted in zip(self._outputs, self._explanations, names, wanted, strict=True):
            isCreated = bool(name) and isWanted and selector.currentNode() is None
            selector.toolTip = (
                _("{explanation} The run creates '{name}'.").format(explanation=explanation, name=name)
                if isCreated
                else explanation
            )
            if isCreated:
                created.append(f"'{name}'")
        ui.createdLabel.text = _("Creates {names}").format(names=", ".join(created))
        ui.createdLabel.visible = bool(created)

    @staticmethod
    def _check(selector: slicer.qMRMLCheckableNodeComboBox, chosen: list[slicer.vtkMRMLNode]) -> None:
        """Check the chosen nodes and no others; checks are lost where Slicer makes the rows again."""
        selector.blockSignals(True)  # else each check would count as the user's
        for node in (*selector.checkedNodes(), *selector.uncheckedNodes()):
            selector.setCheckState(node, qt.Qt.Checked if node in chosen else qt.Qt.Unchecked)
        selector.blockSignals(False)

    def _carryChosen(self) -> None:
        if self._parameters is not None:
            self._parameters.carry = list(self._ui.carrySelector.checkedNodes())

    def _furtherChosen(self) -> None:
        if self._parameters is not None:
            self._parameters.furtherVolumes = list(self._ui.furtherVolumesSelector.checkedNodes())

    def _weightsChosen(self, path: str) -> None:
        if self._parameters is not None and path != self._parameters.weights:
            self._parameters.weights = path
