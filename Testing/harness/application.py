"""slicer.app and what else of the application a scripted module asks for: scene, settings, messages, modules, files."""

import importlib.util
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import slicer
import slicer.util
from trame_slicer.core import SlicerApp

from . import qmrml
from .files import qSlicerCoreIOManager
from .pythonqt import QtGui, qt, stands_for_cpp


class Message(NamedTuple):
    """Records the messages of slicer.util's errorDisplay, confirmYesNoDisplay..."""

    level: int
    text: str
    title: str | None
    options: dict[str, Any]


@stands_for_cpp
class qSlicerModuleManager(qt.QObject):
    """The modules that are loaded, by name."""

    moduleLoaded = qt.Signal(str)
    moduleAboutToBeUnloaded = qt.Signal(str)
    moduleUnloaded = qt.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def factoryManager(self) -> "qSlicerModuleManager":
        return self

    def loadedModuleNames(self) -> list[str]:
        return list(self._modules)

    def isLoaded(self, name: str) -> bool:
        return name in self._modules


class _CommandOptions:
    """Slicer's command line options: as with --no-main-window."""

    noMainWindow = True
    testingEnabled = False
    runPythonAndExit = False


@stands_for_cpp
class qSlicerApplication(qt.QApplication):
    """slicer.app. One lives as long as the process; `begin` gives it a new scene and forgets all else."""

    startupCompleted = qt.Signal()
    mrmlSceneChanged = qt.Signal(object)
    signals = qmrml._scene_signal

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self._core = self._manager = self._settings_folder = None
        self._options = _CommandOptions()

    def begin(self) -> None:
        self._core = SlicerApp()
        self._core.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # as Slicer's Colors module does
        self._manager = qSlicerModuleManager()
        self._settings_folder = tempfile.TemporaryDirectory()
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, self._settings_folder.name)
        self.setOrganizationName("Slicer")
        self.setApplicationName(Path(self._settings_folder.name).name)  # QSettings keeps files open by their names
        # Slicer's dialog of settings keeps its own there, 750.
        qt.QSettings().setValue("Developer/SelfTestDisplayMessageDelay", 10)
        slicer.mrmlScene = self._core.scene
        self.mrmlSceneChanged.emit(self._core.scene)

    def end(self) -> None:
        for name in reversed(self._manager.modulesNames()):
            self._manager.moduleAboutToBeUnloaded.emit(name)
            self._manager._modules.pop(name)._delete()
            self._manager.moduleUnloaded.emit(name)
        self.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        self.processEvents()
        slicer.mrmlScene.Clear(True)
        self._settings_folder.cleanup()
        vars(slicer.modules).pop("sampleDataSources", None)

    @property
    def core(self) -> SlicerApp:
        """trame-slicer's application of the current scene: its views and logics."""
        return self._core

    applicationName = property(lambda self: "Slicer")
    applicationVersion = property(lambda self: "5.11.0-harness")
    temporaryPath = property(lambda self: tempfile.gettempdir())
    slicerHome = property(lambda self: "")
    revision = property(lambda self: "0")
    documentationBaseUrl = property(lambda self: "https://slicer.readthedocs.io/en/latest/")

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def mrmlScene(self) -> Any:
        return self._core.scene

    def applicationLogic(self) -> Any:
        return self._core.app_logic

    def moduleManager(self) -> qSlicerModuleManager:
        return self._manager

    def coreIOManager(self) -> qSlicerCoreIOManager:
        return qSlicerCoreIOManager(self._core)

    ioManager = coreIOManager

    def layoutManager(self) -> None:
        """None, as in a Slicer without a main window."""
        return None

    def settings(self) -> Any:
        return qt.QSettings()

    userSettings = revisionUserSettings = settings

    def commandOptions(self) -> _CommandOptions:
        return self._options

    def testingEnabled(self) -> bool:
        return self._options.testingEnabled

    def translate(self, context: str, text: str) -> str:
        return text

    def restart(self) -> None:
        raise NotImplementedError("the harness does not start Slicer again")

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass


_log_levels = {
    qt.QtMsgType.QtDebugMsg: logging.DEBUG,
    qt.QtMsgType.QtInfoMsg: logging.INFO,
    qt.QtMsgType.QtWarningMsg: logging.WARNING,
}


def _log(kind: Any, context: Any, text: str) -> None:
    """Qt's messages go to Python's log, but for the offscreen platform's about what it need not do."""
    if text != "This plugin does not support propagateSizeHints()":
        logging.getLogger("qt").log(_log_levels.get(kind, logging.ERROR), text)


def _add_font() -> None:
    """Text is drawn in DejaVu Sans, which comes with matplotlib, so that pictures are the same everywhere."""
    fonts = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
    for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSansMono.ttf"):
        QtGui.QFontDatabase.addApplicationFont(str(fonts / name))
    font = qt.QFont("DejaVu Sans")
    font.setPointSize(9)
    qt.QApplication.setFont(font)


def make_application() -> qSlicerApplication:
    """Return this process's application, made at the first call."""
    application = qt.QApplication.instance()
    if application is None:
        qt.qInstallMessageHandler(_log)
        application = qSlicerApplication()
        application.setStyle("Fusion")
        _add_font()
        slicer.app = application
    return application


class Slicer:
    """A running Slicer, as tests see it.

    scene:     slicer.mrmlScene, new
    messages:  every Message that slicer.util's *Display functions were given
    answers:   what the user will answer to the next of those that ask, qt.QMessageBox.Yes and so on, first one first
    installed: the arguments of every call of slicer.util.pip_install, which does nothing else
    install:   called instead of nothing, where a test sets it, with the same arguments
    errors:    exceptions that Python code raised in a slot or an observer, where nobody could catch them
    """

    def __init__(self) -> None:
        self.app = make_application()
        self.app.begin()
        self.scene = slicer.mrmlScene
        self.messages: list[Message] = []
        self.answers: list[int] = []
        self.installed: list[Any] = []
        self.install = lambda requirements: None
        self.errors: list[BaseException] = []

    def _message_display(
        self,
        level: int,
        text: str,
        testing_value: Any,
        mainWindowNeeded: bool = False,
        parent: Any = None,
        **options: Any,
    ) -> Any:
        logging.log(level, text)
        title = options.pop("windowTitle", None)
        self.messages.append(Message(level, text, title, options))
        if mainWindowNeeded:  # the info, warning and error displays, which have nothing to answer
            return None
        if not self.answers:
            raise AssertionError(f"the user was asked '{text}', and the test gives no answer")
        return self.answers.pop(0)

    def _pip_install(self, requirements: Any, *arguments: Any, **options: Any) -> Any:
        self.installed.append(requirements)
        return self.install(requirements)

    def _excepthook(self, kind: type, error: BaseException, trace: Any) -> None:
        self.errors.append(error)
        traceback.print_exception(kind, error, trace)


@contextmanager
def running() -> Iterator[Slicer]:
    """Run a Slicer with an empty scene; at the end, unload modules, delete widgets and clear the scene.

    Raises, at the end, the first exception that was raised in a slot or an observer and that the test has not taken out
    of `errors`.
    """
    running_slicer = Slicer()
    replaced = {name: getattr(slicer.util, name) for name in ("_messageDisplay", "pip_install", "pip_uninstall")}
    hook = sys.excepthook
    slicer.util._messageDisplay = running_slicer._message_display
    slicer.util.pip_install = slicer.util.pip_uninstall = running_slicer._pip_install
    sys.excepthook = running_slicer._excepthook
    try:
        yield running_slicer
        running_slicer.app.end()
    finally:
        sys.excepthook = hook
        for name, value in replaced.items():
            setattr(slicer.util, name, value)
    if running_slicer.errors:
        raise running_slicer.errors[0]
