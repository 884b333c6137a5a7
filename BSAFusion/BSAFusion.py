"""The module that Slicer loads: its description, panel and logic; everything is computed elsewhere."""

import logging
import sys
from pathlib import Path
from unittest import SkipTest

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

# BSAFusionLib and its Resources lie beside this file in an installed extension, and one folder up in the source tree.
folder = Path(__file__).resolve().parent
if not (folder / "BSAFusionLib").is_dir():
    folder = folder.parent
# First, since Slicer puts an installed extension's folder on the path when it starts: the source tree's module would
# run on the installed library.
if sys.path[0] != str(folder):
    sys.path.insert(0, str(folder))

# Slicer 5.8 has Python 3.9, which this file can be read by, but the library cannot.
if sys.version_info < (3, 10):  # noqa: UP036
    raise ImportError("BSAFusion needs Slicer 5.10 or later, whose Python is 3.12; install a newer Slicer.")

# Slicer runs this file when it starts, so only what needs none of SimpleITK, SciPy and PyTorch is imported here. The
# panel's parts are imported when they are first needed.
from BSAFusionLib.mrml import logic  # noqa: E402  (found only once the path is set)
from BSAFusionLib.mrml.display import hide_grid  # noqa: E402
from BSAFusionLib.mrml.packages import missing_packages  # noqa: E402
from BSAFusionLib.mrml.placement import put_back_from  # noqa: E402

resources = folder / "Resources"

# The guide of the source tree; an installed extension has it online, where Documentation/make_publication.py puts in
# the owner. Slicer's own link would lead to a page that Slicer's documentation does not have.
guide = folder / "Documentation" / "user-guide.md"
guideAddress = (
    guide.as_uri()
    if guide.is_file()
    else "https://github.com/<owner>/SlicerBSAFusion/blob/main/Documentation/user-guide.md"
)

# Slicer caches downloads by name, for all extensions and their versions: the checksums identify our files.
sampleData = {
    "mri_t1.nii.gz": "SHA256:9e1d698db183dd0fd2c47d08b838fd6c579df30eb491209b052b596d53ea6004",
    "pet_fdg.nii.gz": "SHA256:4d7ba0695e2b487f0b88b4de89111954c6bf613781166e7dae125bf407d5a457",
}


class BSAFusion(ScriptedLoadableModule):
    """Describes the module to Slicer."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("BSAFusion")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.contributors = ["The BSAFusion for 3D Slicer developers"]
        parent.icon = qt.QIcon(str(resources / "Icons" / "BSAFusion.svg"))
        parent.helpText = _(
            "Registers a CT, PET or SPECT to an MRI of the same head, rigidly and by a neural network, and "
            "fuses the two; gives the fused volume, the registered volume and the deformation as a grid transform.<br>"
            "For research use only. Not for clinical use.<p>"
            'For more information, see the <a href="{address}">documentation</a>.'
        ).format(address=guideAddress)
        parent.acknowledgementText = _(
            "The method is that of H. Li, D. Su, Q. Cai and Y. Zhang: BSAFusion, A Bidirectional Stepwise Feature "
            'Alignment Network for Unaligned Medical Image Fusion, AAAI 2025 (<a href="https://arxiv.org/abs/2412.08050">'
            "arXiv 2412.08050</a>). This is an independent implementation."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def hideGrids(*transforms):
    """Hide the grids of transforms, None among them, in all views."""
    for transform in transforms:
        if transform is not None:
            hide_grid(transform)


def registerSampleData():
    """Add the MRI and PET of the extension to Slicer's Sample Data module."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="BSAFusion",
        sampleName="BSAFusionMRIPET",
        thumbnailFileName=str(resources / "Icons" / "BSAFusionMRIPET.png"),
        uris=[(resources / "SampleData" / name).as_uri() for name in sampleData],
        fileNames=list(sampleData),
        nodeNames=["MRI", "PET"],
        checksums=list(sampleData.values()),
    )


class BSAFusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: creates its parts and passes Slicer's events to them."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameters = None
        self._connection = None
        self._landmarks, self._landmarkTags = [], []
        self._missing = []
        self.worker = self.run = None

    def setup(self):
        """Create the panel."""
        super().setup()
        from BSAFusionLib.panel.background import Worker
        from BSAFusionLib.panel.choices import Choices
        from BSAFusionLib.panel.device_choice import DeviceChoice
        from BSAFusionLib.panel.preset_choice import PresetChoice
        from BSAFusionLib.panel.results import Results
        from BSAFusionLib.panel.run import Run
        from BSAFusionLib.panel.setup_row import SetupRow
        from BSAFusionLib.panel.views import Views

        panel = slicer.util.loadUI(self.resourcePath("UI/BSAFusion.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        named = {widget.property("SlicerParameterName"): widget for widget in panel.findChildren(qt.QWidget)}
        self._widgetsByParameter = {name: widget for name, widget in named.items() if name}

        self.logic = BSAFusionLogic()
        self.choices = Choices(self.ui, self.logic)
        self.worker = Worker()
        self.deviceChoice = DeviceChoice(self.ui.deviceComboBox, self.worker)
        self.presetChoice = PresetChoice(self.ui)
        self.run = Run(self.ui, self.logic, self.worker, self.onDone)
        self.views = Views(self.ui)
        self.results = Results(self.ui, self.onResultChosen)
        self.setupRow = SetupRow(self.ui, onMissing=self.onMissing)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameters()

    def cleanup(self):
        """Release everything when Slicer closes or this module is reloaded."""
        if self.worker is not None:  # None where setup failed
            self.worker.close()
        if self.run is not None:
            self.run.close()
        self.setParameters(None)
        self.removeObservers()

    def enter(self):
        """Show the scene's choices when the user opens the module."""
        self.setupRow.update()
        self.initializeParameters()

    def exit(self):
        """Release the parameter node when the user opens another module."""
        self.setParameters(None)

    def onSceneStartClose(self, caller=None, event=None):
        """Cancel the run, and let go of the parameter node and of everything that was said of this scene."""
        if not self.run.running:  # else its own last message says why it stopped
            self.run.say("")
        self.worker.stop()
        self.setParameters(None)
        self.results.clear()

    def onSceneStartImport(self, caller=None, event=None):
        """Release the parameter node: the selectors lose their nodes while the scene is read."""
        self.setParameters(None)

    def onSceneChanged(self, caller=None, event=None):
        """Use the new scene's parameters, unless another module is shown: then `enter` does."""
        if self.parent.isEntered:
            self.initializeParameters()

    @calldata_type(VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node):
        """Choose a removed node no longer, and put nodes back that lie under a result that is removed."""
        if slicer.mrmlScene.IsClosing():
            return
        if self._connection is not None:  # before the selectors, which would move to the node of the next row
            self._connection.forget(node)
        if node.IsA("vtkMRMLTransformNode"):
            put_back_from(node)

    @calldata_type(VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node):
        """Cancel a run that lost a node, list the results that are left, and replace a lost parameter node."""
        self.run.nodesRemoved()
        if slicer.mrmlScene.IsClosing():
            self.views.update()
            return
        if self._parameters is not None and node is self._parameters.parameterNode:
            self.initializeParameters()  # else the panel's choices would go to a node that no run reads
            return
        self.views.update()
        if node.IsA("vtkMRMLVolumeNode") or node.IsA("vtkMRMLScriptedModuleNode"):
            self.results.show()  # without the row of that volume or result

    def onMissing(self, packages):
        """Handle a change of the missing packages."""
        self._missing = packages
        self.run.setMissing(packages)
        self.onAdvancedCollapsed(self.ui.advancedCollapsibleButton.collapsed)

    def onAdvancedCollapsed(self, collapsed):
        """List the devices when the advanced section is opened, or once torch is installed."""
        if not collapsed and not self._missing:
            self.deviceChoice.look()

    def initializeParameters(self):
        """Follow the parameter node of the scene, and list the results of all scenes that were added to it."""
        from BSAFusionLib.panel.parameters import gather_results

        parameters = self.logic.getParameterNode(lambda sentence: self.run.say(sentence, warn=True))
        gather_results(parameters)
        self.setParameters(parameters)

    def setParameters(self, parameters):
        """Follow a parameter node of the scene, or none."""
        if self._parameters is not None:
            self._connection.close()
            self._connection = None  # it holds the nodes that were chosen
            self._parameters.RemoveObserver(self._parametersTag)
            self.letPartsFollow(None)
        if parameters is not None:
            from BSAFusionLib.panel.connection import AFTER_WIDGETS, Connection

            self._connection = Connection(parameters, self._widgetsByParameter)
            self.letPartsFollow(parameters)
            # Not by addObserver, which keeps what it observed, and so all observers of every wrapper, until the end.
            self._parametersTag = parameters.AddObserver(
                vtkCommand.ModifiedEvent, self.onParametersModified, AFTER_WIDGETS
            )

    def letPartsFollow(self, parameters):
        """Make all parts of the panel follow a parameter node, or none."""
        self._parameters = parameters
        for part in (self.choices, self.presetChoice, self.deviceChoice, self.run, self.views, self.results):
            part.follow(parameters)
        self.followLandmarks()

    def onParametersModified(self, caller=None, event=None):
        """Update all parts of the panel."""
        self.choices.update()
        self.presetChoice.update()
        self.deviceChoice.follow(self._parameters)
        self.run.update()
        self.views.update()
        self.followLandmarks()

    def followLandmarks(self):
        """Measure the results again when other point lists are chosen or shown, or a point moves."""
        parameters = self._parameters
        chosen = []
        if parameters is not None:
            from BSAFusionLib.panel.parameters import landmarks_shown

            chosen = [parameters.fixedLandmarks, parameters.movingLandmarks, *landmarks_shown(parameters)]
        if chosen == self._landmarks:
            return
        self._landmarks = chosen
        for markups, tag in self._landmarkTags:
            markups.RemoveObserver(tag)
        self._landmarkTags = [
            (markups, markups.AddObserver(event, self.onLandmarksChanged))
            for markups in set(chosen) - {None}
            for event in (markups.PointModifiedEvent, markups.PointAddedEvent, markups.PointRemovedEvent)
        ]
        self.results.show()

    def onLandmarksChanged(self, caller=None, event=None):
        """Measure the results again."""
        self.results.show()

    def onDone(self, job, result, isFurther):
        """Store the outputs of a run, so that the next one fills the same nodes, and show them.

        Those of a further moving volume get a row of their own; the panel goes on showing the first one's.
        """
        from BSAFusionLib.panel.parameters import former_parts, gather_results, keep_result, show_result
        from BSAFusionLib.panel.results import values_of

        parameters = self.logic.getParameterNode()  # also while another module is shown
        gather_results(parameters)
        values = values_of(job, result)
        if isFurther:
            hideGrids(result.gridTransform, result.networkTransform)
            keep_result(parameters, values)
            self.results.remember(result)
            self.views.show(parameters)
            return
        isFirst = parameters.reportGridTransform is not result.gridTransform
        hideGrids(parameters.reportGridTransform if isFirst else None, parameters.reportNetworkTransform)
        if result.rigidTransform is None:
            values.update(former_parts(parameters, values))
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.fusedVolume = result.fusedVolume
            parameters.gridTransform = result.gridTransform
            if result.registeredVolume is not None:
                parameters.registeredVolume = result.registeredVolume
            if (parameters.reportFixedVolume, parameters.reportMovingVolume) != (job.fixedVolume, job.movingVolume):
                parameters.checkerboardVolume = None  # the checkerboard is named after the former volumes
            show_result(parameters, values)
            if isFirst:
                parameters.gridSpacing = result.gridTransform.GetDisplayNode().GetGridSpacingMm()
        keep_result(parameters, values, job.carry)
        self.results.remember(result)
        self.views.show(parameters)

    def onResultChosen(self, kept):
        """Show another result of the scene, and hide the grid of the one before."""
        from BSAFusionLib.panel.parameters import show_result

        parameters = self.logic.getParameterNode()
        hideGrids(parameters.reportGridTransform, parameters.reportNetworkTransform)
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.checkerboardVolume = None  # the checkerboard is named after the former volumes
            show_result(parameters, kept)
        self.results.show()
        self.views.show(parameters)


class BSAFusionLogic(ScriptedLoadableModuleLogic, logic.BSAFusionLogic):
    """The logic of BSAFusionLib.mrml.logic, for slicer.util.getModuleLogic("BSAFusion")."""

    def getParameterNode(self, say=logging.warning):
        """Return the panel's choices in the scene; `say` gets a sentence about those that had to be replaced."""
        from BSAFusionLib.panel.parameters import Parameters, replace_unknown

        node = super().getParameterNode()
        if sentence := replace_unknown(node):
            say(sentence)
        return Parameters(node)


class BSAFusionTest(ScriptedLoadableModuleTest):
    """The test of Slicer's Reload and Test: the sample MRI and PET through the logic."""

    def setUp(self):
        """Clear the scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all tests; report skips here, since "Reload and Test" shows their exception as a failure."""
        for test in (self.test_sample, self.test_badInput):
            self.setUp()
            try:
                test()
            except SkipTest as skip:
                self.delayDisplay(_("Test skipped: {reason}").format(reason=skip))

    def load(self, name, nodeName):
        """Load a sample volume under a name."""
        node = slicer.util.loadVolume(str(resources / "SampleData" / name), {"name": nodeName})
        self.assertIsNotNone(node)
        return node

    def test_sample(self):
        """Check that the PET is recognized, moves closer to the MRI, and lies on its grid."""
        if missing := missing_packages():
            self.skipTest(f"The panel must install {', '.join(missing)} first.")
        self.delayDisplay(_("Aligning and fusing the sample MRI and PET"))
        fixed, moving = self.load("mri_t1.nii.gz", "MRI"), self.load("pet_fdg.nii.gz", "PET")
        result = BSAFusionLogic().process(fixed, moving)
        self.assertEqual(result.report.modality, "pet")
        self.assertGreater(result.report.mutual_information_after, result.report.mutual_information_before)
        self.assertEqual(result.report.percent_folded, 0)
        for volume in (result.fusedVolume, result.registeredVolume):
            self.assertEqual(volume.GetImageData().GetDimensions(), fixed.GetImageData().GetDimensions())
        self.delayDisplay(_("Test passed"))

    def test_badInput(self):
        """Check that one volume in both roles is rejected and the scene is not changed."""
        volume = self.load("mri_t1.nii.gz", "MRI")
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaisesRegex(logic.FusionError, "both the fixed and the moving volume"):
            BSAFusionLogic().process(volume, volume)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
