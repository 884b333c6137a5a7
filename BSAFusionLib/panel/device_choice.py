"""The choice of the device; this machine's GPUs are listed when the section is first opened."""

import logging
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from BSAFusionLib.errors import FusionError
from BSAFusionLib.panel.background import Task, Worker
from BSAFusionLib.panel.parameters import Parameters


class DeviceChoice:
    """Synchronizes a combo box of devices with the parameter `device`.

    Listing GPUs imports torch, which takes seconds, so the worker does it when `look` is first called.
    """

    def __init__(self, comboBox: qt.QComboBox, worker: Worker) -> None:
        self._comboBox, self._worker = comboBox, worker
        self._parameters: Parameters | None = None
        self._task: Task | None = None
        comboBox.addItem(_("Automatic"), "auto")
        comboBox.addItem(_("CPU"), "cpu")
        comboBox.connect("currentIndexChanged(int)", self._chosen)

    def follow(self, parameters: Parameters | None) -> None:
        """Show and change the device of a parameter node from now on, or of none."""
        self._parameters = parameters
        if parameters is None:
            return
        index = self._comboBox.findData(parameters.device)
        if index < 0:  # another machine's, or not listed yet: keep it; a run reports a device that is missing
            self._comboBox.addItem(parameters.device, parameters.device)
            index = self._comboBox.findData(parameters.device)
        self._comboBox.setCurrentIndex(index)

    def look(self) -> None:
        """List the GPUs, once; torch must be installed."""
        if self._task is not None:
            return
        try:
            self._task = self._worker.start(
                "devices",
                lambda folder: {},
                onDone=self._found,
                onFailed=self._failed,
                onCancelled=self._forget,
            )
        except FusionError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        logging.error("BSAFusion: the GPUs could not be listed: %s", error)
        self._forget()

    def _forget(self) -> None:
        self._task = None  # the next look tries again

    def _found(self, devices: list[dict[str, Any]], folder: Path) -> None:
        gpus = [device for device in devices if device["name"] != "cpu"]
        for place, device in enumerate(gpus, start=1):
            known = self._comboBox.findData(device["name"])
            label = device["label"]
            if not device["works"]:
                label = _("{gpu} (not usable by this PyTorch)").format(gpu=label)
            if known >= 0:
                self._comboBox.setItemText(known, label)
            else:
                self._comboBox.insertItem(place, label, device["name"])

    def _chosen(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.device = self._comboBox.itemData(index)
