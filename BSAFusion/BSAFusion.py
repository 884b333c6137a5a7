"""The module that Slicer loads: what it is called, who made it, the way to its logic, and no computing of its own."""

import sys
from pathlib import Path

import qt
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)

# BSAFusionLib and Resources lie beside this file in an installed extension, and one folder up in the source tree.
folder = Path(__file__).resolve().parent
if not (folder / "BSAFusionLib").is_dir():
    folder = folder.parent
if str(folder) not in sys.path:
    sys.path.append(str(folder))

from BSAFusionLib import logic  # noqa: E402  (found only once the path is set)


class BSAFusion(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "BSAFusion"
        parent.categories = ["Registration"]
        parent.contributors = ["The BSAFusion for 3D Slicer developers"]
        parent.icon = qt.QIcon(str(folder / "Resources" / "Icons" / "BSAFusion.svg"))
        parent.helpText = (
            "Aligns a CT, PET or SPECT with an MRI of the same head and fuses the two in one pass of a network; "
            "gives the fused volume, the registered volume and the deformation as a grid transform.<br>"
            "For research use only. Not for clinical use."
        )
        parent.acknowledgementText = (
            "The method is that of H. Li, D. Su, Q. Cai and Y. Zhang: BSAFusion, A Bidirectional Stepwise Feature "
            'Alignment Network for Unaligned Medical Image Fusion, AAAI 2025 (<a href="https://arxiv.org/abs/2412.08050">'
            "arXiv 2412.08050</a>). This implementation was written anew."
        )


class BSAFusionWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        super().setup()
        self.logic = BSAFusionLogic()
        label = qt.QLabel(
            "This version is used from the Python console:\n\n"
            'slicer.util.getModuleLogic("BSAFusion").process(fixedVolume, movingVolume)'
        )
        label.wordWrap = True
        label.textInteractionFlags = qt.Qt.TextSelectableByMouse
        self.layout.addWidget(label)
        self.layout.addStretch(1)


class BSAFusionLogic(ScriptedLoadableModuleLogic, logic.BSAFusionLogic):
    """Reached by slicer.util.getModuleLogic("BSAFusion"); its `process` is that of BSAFusionLib.logic."""
