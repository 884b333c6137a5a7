"""The choice of the device, whose list is filled with this machine's GPUs once somebody looks at it."""

from typing import Any

import qt
from slicer.i18n import tr as _

from BSAFusionLib.mrml.packages import missing_packages, require_packages
from BSAFusionLib.panel.background import BackgroundTask
from BSAFusionLib.panel.parameters import Parameters


class DeviceChoice:
    """A combo box of devices in step with the parameter `device`.

    To list GPUs takes an import of torch, seconds: that is left to a thread, and to when the list is looked for.
    """

    def __init__(self, comboBox: qt.QComboBox) -> None:
        self._comboBox = comboBox
        self._parameters: Parameters | None = None
        self._task: BackgroundTask | None = None
        comboBox.addItem(_("Automatic"), "auto")
        comboBox.addItem(_("CPU"), "cpu")
        comboBox.connect("currentIndexChanged(int)", self._chosen)

    def follow(self, parameters: Parameters | None) -> None:
        """Shows, and from now on changes, this parameter node's device."""
        self._parameters = parameters
        if parameters is None:
            return
        index = self._comboBox.findData(parameters.device)
        if index < 0:  # another machine's, or not listed yet: it is kept, and a run says so if it is not here
            self._comboBox.addItem(parameters.device, parameters.device)
            index = self._comboBox.findData(parameters.device)
        self._comboBox.setCurrentIndex(index)

    def look(self) -> None:
        """Starts to look for GPUs, the first time that it is called with torch there."""
        if self._task is None and not missing_packages():
            self._task = BackgroundTask(_look, onDone=self._found, onFailed=lambda error: None)
            self._task.start()

    def stop(self) -> None:
        if self._task is not None:
            self._task.abandon()

    def _found(self, devices: list[Any]) -> None:
        gpus = [device for device in devices if device.name != "cpu"]
        for place, device in enumerate(gpus, start=1):
            known = self._comboBox.findData(device.name)
            label = device.label if device.works else _("{gpu} (not usable by this PyTorch)").format(gpu=device.label)
            if known >= 0:
                self._comboBox.setItemText(known, label)
            else:
                self._comboBox.insertItem(place, label, device.name)

    def _chosen(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.device = self._comboBox.itemData(index)


def _look(progress: Any, cancelled: Any) -> list[Any]:
    require_packages()
    from BSAFusionLib.network.devices import list_devices  # here, since it imports torch

    return list_devices()
