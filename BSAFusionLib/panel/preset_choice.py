"""The choice of a preset, and the button that resets all settings."""

from types import SimpleNamespace

from slicer.i18n import tr as _

from BSAFusionLib.panel.parameters import Parameters, apply_preset, chosen_preset, reset
from BSAFusionLib.presets import PRESETS


class PresetChoice:
    """Synchronizes a combo box of presets with the choices that they determine.

    The parameter node does not store the preset, so the combo box never contradicts the choices.
    """

    def __init__(self, ui: SimpleNamespace) -> None:
        self._comboBox = ui.presetComboBox
        self._explanation = self._comboBox.toolTip
        self._parameters: Parameters | None = None
        for preset in PRESETS.values():
            self._comboBox.addItem(preset.label, preset.name)
        self._comboBox.addItem(_("Custom"), "")
        self._comboBox.connect("currentIndexChanged(int)", self._chosen)
        ui.resetButton.connect("clicked(bool)", self._reset)

    def follow(self, parameters: Parameters | None) -> None:
        """Show and change the choices of a parameter node from now on, or of none."""
        self._parameters = parameters
        self.update()

    def update(self) -> None:
        """Show the preset that the choices agree with."""
        if self._parameters is None:
            return
        preset = chosen_preset(self._parameters)
        self._comboBox.setCurrentIndex(self._comboBox.findData(preset.name if preset else ""))
        self._comboBox.toolTip = preset.help if preset else self._explanation

    def _chosen(self, index: int) -> None:
        """Apply the preset that the user chose; show the present one again where that was Custom."""
        if self._parameters is None:
            return
        chosen, present = PRESETS.get(self._comboBox.itemData(index)), chosen_preset(self._parameters)
        if chosen is not None and chosen is not present:
            apply_preset(self._parameters, chosen)
        self.update()

    def _reset(self, checked: bool = False) -> None:
        if self._parameters is not None:
            reset(self._parameters)
