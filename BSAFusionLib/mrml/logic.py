"""Nodes in, nodes out: registers and fuses two volumes of a scene, all or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.display import draw_grid, show_volumes
from BSAFusionLib.mrml.landmarks import LandmarkPairs, error_of_pairs, landmark_pairs
from BSAFusionLib.mrml.packages import require_packages
from BSAFusionLib.mrml.scene import (
    TransformContent,
    VolumeContent,
    all_or_nothing,
    content_from_deformation,
    content_from_voxels,
    file_beside,
    filled_from,
    mark_as_filled,
    modality_from_dicom,
    parent_to_world,
    place_under,
    put_grid_transform,
    put_volume,
    transform_from_node,
    voxels_of,
)
from BSAFusionLib.pipeline.report import Report
from BSAFusionLib.pipeline.stages import Progress
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.settings import Settings
from BSAFusionLib.worker.case import Outcome, compute_case
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.result import Result

same_place = 1e-4  # how far the matrices of two places may be apart, mm


@dataclass(frozen=True)
class Job:
    """One run as `prepare` found it: what to compute from, and the nodes that the outcome goes to.

    The voxels of `fixed` and `moving` are the nodes' own: compute, or write them to files, before the nodes change.
    """

    fixed: Volume
    moving: Volume
    movingToWorld: np.ndarray
    settings: Settings
    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    fusedVolume: slicer.vtkMRMLScalarVolumeNode | None
    gridTransform: slicer.vtkMRMLGridTransformNode | None
    registeredVolume: slicer.vtkMRMLScalarVolumeNode | None
    makeRegistered: bool
    carry: tuple[slicer.vtkMRMLTransformableNode, ...]
    landmarks: LandmarkPairs | None

    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """The nodes that must be there when the run is done, for its outcome to go anywhere."""
        nodes = self.fixedVolume, self.movingVolume, self.fusedVolume, self.gridTransform, self.registeredVolume
        return [node for node in (*nodes, *self.carry) if node is not None]


@dataclass(frozen=True)
class Computed:
    """The outcome of a run as nodes are to hold it, and its report.

    registered is None where it was not asked for, result where another process computed it.
    """

    fused: VolumeContent
    registered: VolumeContent | None
    transform: TransformContent
    report: Report
    pictures: Pictures
    result: "Result | None" = None


@dataclass(frozen=True)
class ProcessResult:
    """The nodes of a finished run, all in world coordinates, and what was measured and is to be seen on it.

    fusedVolume and registeredVolume (None where it was not asked for) lie on the fixed volume's grid. gridTransform,
    set as the moving volume's parent transform in place of the one it had, carries that volume onto the fixed one.
    """

    fusedVolume: slicer.vtkMRMLScalarVolumeNode
    gridTransform: slicer.vtkMRMLGridTransformNode
    registeredVolume: slicer.vtkMRMLScalarVolumeNode | None
    report: Report
    pictures: Pictures

    def page(self) -> str:
        """Return the report as one HTML page with its pictures; takes some seconds."""
        from BSAFusionLib.report.page import page  # here, since it imports SimpleITK

        return page(self.pictures, self.report, self.gridTransform.GetName())


class BSAFusionLogic:
    """Registers a moving volume to a fixed MRI and fuses the two.

    `process` does it all. Its three parts can be called one by one: `prepare` and `fill` touch the scene and belong on
    the main thread, `compute` does not and may run on any.
    """

    _guessed = (-1, "")  # when the voxels last looked at were modified, and their modality

    def process(
        self,
        fixedVolume: slicer.vtkMRMLScalarVolumeNode,
        movingVolume: slicer.vtkMRMLScalarVolumeNode,
        fusedVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        gridTransform: slicer.vtkMRMLGridTransformNode | None = None,
        registeredVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        modality: str = "auto",
        prealignment: str | slicer.vtkMRMLTransformNode = Settings.prealignment,
        sliceAxis: str = Settings.slice_axis,
        ctWindow: tuple[float, float] | None = Settings.ct_window,
        device: str = Settings.device,
        precision: str = Settings.precision,
        batchSize: int | None = Settings.batch_size,
        throughPlaneSmoothing: float = Settings.through_plane_smoothing,
        strength: float = Settings.strength,
        threeAxes: bool = Settings.three_axes,
        refine: bool = Settings.refine,
        doNoHarm: bool = Settings.do_no_harm,
        foldFree: bool = Settings.fold_free,
        weights: Path | str | None = Settings.weights,
        carry: Sequence[slicer.vtkMRMLTransformableNode] = (),
        makeRegistered: bool = True,
        fixedLandmarks: slicer.vtkMRMLMarkupsNode | None = None,
        movingLandmarks: slicer.vtkMRMLMarkupsNode | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ProcessResult:
        """Registers and fuses; the scene changes only when everything has succeeded.

        fixedVolume: the MRI, scalar. movingVolume: CT (scalar), PET or SPECT (scalar or RGB). Both are taken where
            their linear parent transforms put them.
        fusedVolume, gridTransform, registeredVolume: nodes to fill; those not given are created, the registered volume
            only if `makeRegistered`.
        modality: "ct", "pet", "spect", or "auto": from DICOM, else from the intensities.
        prealignment: "rigid", "none", or a linear transform node that would carry the moving volume, from where it
            lies in the world, to the fixed one.
        carry: nodes that go along, under the grid transform in place of their own parents: the moving volume itself,
            and segmentations, markups, models, volumes or transforms that lie as it lies.
        fixedLandmarks, movingLandmarks: the same points, in the same order, on either volume where it lies now; the
            report then tells how far they are apart before and after.
        The other choices are those of Settings. progress(stage, fraction, slices) is told how far the whole job is, and
        in the network's stage how many slices are done of how many, else None; cancelled() is asked often.
        Raises FusionError for what the user can mend, Cancelled when asked to stop.
        """
        job = self.prepare(
            fixedVolume,
            movingVolume,
            fusedVolume,
            gridTransform,
            registeredVolume,
            carry=carry,
            makeRegistered=makeRegistered,
            fixedLandmarks=fixedLandmarks,
            movingLandmarks=movingLandmarks,
            modality=modality,
            prealignment=prealignment,
            sliceAxis=sliceAxis,
            ctWindow=ctWindow,
            device=device,
            precision=precision,
            batchSize=batchSize,
            throughPlaneSmoothing=throughPlaneSmoothing,
            strength=strength,
            threeAxes=threeAxes,
            refine=refine,
            doNoHarm=doNoHarm,
            foldFree=foldFree,
            weights=weights,
        )
        computed = self.compute(job, progress, cancelled)
        if cancelled is not None and cancelled():
            raise Cancelled
        return self.fill(job, computed)

    def prepare(
        self,
        fixedVolume: slicer.vtkMRMLScalarVolumeNode,
        movingVolume: slicer.vtkMRMLScalarVolumeNode,
        fusedVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        gridTransform: slicer.vtkMRMLGridTransformNode | None = None,
        registeredVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        *,
        carry: Sequence[slicer.vtkMRMLTransformableNode] = (),
        makeRegistered: bool = True,
        fixedLandmarks: slicer.vtkMRMLMarkupsNode | None = None,
        movingLandmarks: slicer.vtkMRMLMarkupsNode | None = None,
        **choices: Any,
    ) -> Job:
        """Check nodes and choices, as `process` explains them, and find voxels and points; the scene is only read.

        choices: those that `check` takes besides, by their names there.
        """
        settings = self.check(
            fixedVolume, movingVolume, fusedVolume, gridTransform, registeredVolume, carry=carry, **choices
        )
        if (fixedLandmarks is None) != (movingLandmarks is None):
            raise FusionError("There are landmarks on one of the volumes only: give the same points on both, or none.")
        return Job(
            voxels_of(fixedVolume),
            voxels_of(movingVolume),
            parent_to_world(movingVolume),
            settings,
            fixedVolume,
            movingVolume,
            fusedVolume,
            gridTransform,
            registeredVolume,
            makeRegistered or registeredVolume is not None,
            tuple(carry),
            landmark_pairs(fixedLandmarks, movingLandmarks) if fixedLandmarks is not None else None,
        )

    def check(
        self,
        fixedVolume: slicer.vtkMRMLScalarVolumeNode,
        movingVolume: slicer.vtkMRMLScalarVolumeNode,
        fusedVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        gridTransform: slicer.vtkMRMLGridTransformNode | None = None,
        registeredVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        modality: str = "auto",
        prealignment: str | slicer.vtkMRMLTransformNode = Settings.prealignment,
        sliceAxis: str = Settings.slice_axis,
        ctWindow: tuple[float, float] | None = Settings.ct_window,
        device: str = Settings.device,
        precision: str = Settings.precision,
        batchSize: int | None = Settings.batch_size,
        throughPlaneSmoothing: float = Settings.through_plane_smoothing,
        strength: float = Settings.strength,
        threeAxes: bool = Settings.three_axes,
        refine: bool = Settings.refine,
        doNoHarm: bool = Settings.do_no_harm,
        foldFree: bool = Settings.fold_free,
        weights: Path | str | None = Settings.weights,
        carry: Sequence[slicer.vtkMRMLTransformableNode] = (),
    ) -> Settings:
        """The settings of such a run, as `process` explains them; FusionError says why it cannot start.

        Quick enough to be asked at every change of a choice: no voxels are copied.
        """
        _checkInput(fixedVolume, "fixed")
        _checkInput(movingVolume, "moving")
        if fixedVolume is movingVolume:
            raise FusionError(f"'{fixedVolume.GetName()}' is both the fixed and the moving volume: choose two volumes.")
        for volume in (fixedVolume, movingVolume):
            parent_to_world(volume)
        _checkRoles(fixedVolume, movingVolume, modality)
        if modality == "auto":
            modality, _ = self.foundModality(movingVolume)
        if isinstance(prealignment, slicer.vtkMRMLTransformNode):
            if prealignment is movingVolume.GetParentTransformNode():
                raise FusionError(f"The moving volume lies under '{prealignment.GetName()}' already: start with none.")
            prealignment = transform_from_node(prealignment)
        settings = Settings(
            modality=modality,
            prealignment=prealignment,
            slice_axis=sliceAxis,
            ct_window=ctWindow,
            device=device,
            precision=precision,
            batch_size=batchSize,
            through_plane_smoothing=throughPlaneSmoothing,
            strength=strength,
            three_axes=threeAxes,
            refine=refine,
            do_no_harm=doNoHarm,
            fold_free=foldFree,
            weights=weights,
        )
        _checkScalar(fixedVolume, "a fixed volume (MRI)")
        if modality == "ct":
            _checkScalar(movingVolume, "a CT")
        _checkOutputs(
            {
                "fused volume": (fusedVolume, _volumeClass(MODALITIES[modality].in_color)),
                "grid transform": (gridTransform, "vtkMRMLGridTransformNode"),
                "registered volume": (registeredVolume, _volumeClass(_components(movingVolume) > 1)),
            },
            inputs=(fixedVolume, fixedVolume.GetParentTransformNode(), movingVolume),
        )
        _checkCarried(carry, movingVolume, (fixedVolume, fusedVolume, gridTransform, registeredVolume))
        return settings

    def foundModality(self, movingVolume: slicer.vtkMRMLScalarVolumeNode) -> tuple[str, bool]:
        """What "auto" takes a volume for: "ct", "pet" or "spect"; and whether DICOM says so, not the intensities."""
        noted = modality_from_dicom(movingVolume)
        if noted in MODALITIES:
            return noted, True
        modified = movingVolume.GetImageData().GetMTime()  # no two objects of VTK, and no two states of one, share it
        if self._guessed[0] != modified:
            import SimpleITK as sitk  # here, since Slicer's start does without it

            from BSAFusionLib.pipeline.intensities import guess_modality

            voxels = arrayFromVolume(movingVolume)
            step = max(1, round((voxels.size / 1e6) ** (1 / 3)))
            sample = sitk.GetImageFromArray(voxels[::step, ::step, ::step], isVector=voxels.ndim == 4)
            self._guessed = modified, guess_modality(sample)
        return self._guessed[1], False

    def outputNames(self, fixedVolume: slicer.vtkMRMLNode, movingVolume: slicer.vtkMRMLNode) -> tuple[str, str, str]:
        """How a fused volume, grid transform and registered volume that a run creates are called."""
        fixed, moving = fixedVolume.GetName(), movingVolume.GetName()
        return f"{fixed} + {moving}", f"{moving} to {fixed}", f"{moving} registered"

    def compute(
        self,
        job: Job,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Computed:
        """Compute a run in this process; no node is touched."""
        require_packages()
        case = compute_case(job.fixed.image(), job.moving.image(), job.settings, progress, cancelled)
        return replace(self.computed(job, case.outcome()), result=case.result)

    def computed(self, job: Job, outcome: Outcome) -> Computed:
        """Turn an outcome, wherever it was computed, into what nodes are to hold; the voxels are copied."""
        transform = content_from_deformation(outcome.deformation, job.movingToWorld)
        report = outcome.report
        if job.landmarks is not None:
            error = error_of_pairs(job.landmarks, job.movingToWorld, transform.from_parent.GetInverse())
            report = replace(report, landmarks=error)
        return Computed(
            content_from_voxels(outcome.fused),
            content_from_voxels(outcome.registered) if job.makeRegistered else None,
            transform,
            report,
            outcome.pictures,
        )

    def fill(self, job: Job, computed: Computed) -> ProcessResult:
        """Puts what was computed into the scene, all at once, and shows it; FusionError where a node is gone."""
        gone = next((node for node in job.nodes() if node.GetScene() is None), None)
        if gone is not None:
            raise FusionError(f"'{gone.GetName()}' was removed while it was in use; run again without it.")
        scene = job.fixedVolume.GetScene()
        fusedName, transformName, registeredName = self.outputNames(job.fixedVolume, job.movingVolume)
        window = (0, 255) if computed.fused.voxels.GetNumberOfScalarComponents() > 1 else (0, 1)
        # What another run of the same volumes fills stays as the user has come to show it.
        keptFused, keptRegistered = (
            node is not None and node.GetNodeReference(filled_from) is job.movingVolume
            for node in (job.fusedVolume, job.registeredVolume)
        )
        registeredVolume = None
        with all_or_nothing(scene, job.fusedVolume, job.gridTransform, job.registeredVolume, moved=job.carry):
            fusedVolume = put_volume(
                scene, computed.fused, fusedName, job.fusedVolume, window=None if keptFused else window
            )
            if computed.registered is not None:
                registeredVolume = put_volume(
                    scene,
                    computed.registered,
                    registeredName,
                    job.registeredVolume,
                    like=None if keptRegistered else job.movingVolume,
                )
            gridTransform = put_grid_transform(scene, computed.transform, transformName, job.gridTransform)
            draw_grid(gridTransform, computed.transform, job.fixedVolume)
            for node in job.carry:
                place_under(node, gridTransform)
            for node in {fusedVolume, gridTransform, registeredVolume} - {*job.nodes(), None}:
                file_beside(node, job.fixedVolume)
            show_volumes(fusedVolume)
            mark_as_filled({fusedVolume, registeredVolume} - {None}, gridTransform, job.movingVolume)
        return ProcessResult(fusedVolume, gridTransform, registeredVolume, computed.report, computed.pictures)


def _checkInput(volume: slicer.vtkMRMLNode | None, role: str) -> None:
    if volume is None:
        raise FusionError(f"There is no {role} volume: choose one.")
    if volume.GetClassName() not in (_volumeClass(False), _volumeClass(True)):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' is not a plain scan but, say, a label map: choose another."
        )
    if volume.GetImageData() is None or volume.GetImageData().GetNumberOfPoints() == 0:
        raise FusionError(f"The {role} volume '{volume.GetName()}' holds no image: load it or choose another.")
    if _components(volume) not in (1, 3):
        raise FusionError(
            f"The {role} volume '{volume.GetName()}' has {_components(volume)} values a voxel: choose one with 1 or 3."
        )


def _checkRoles(
    fixedVolume: slicer.vtkMRMLScalarVolumeNode, movingVolume: slicer.vtkMRMLVolumeNode, modality: str
) -> None:
    """FusionError where DICOM says that the fixed volume is no MRI, or that the moving one is one."""
    other = modality_from_dicom(fixedVolume)
    if other not in (None, "mri"):
        raise FusionError(
            f"The fixed volume '{fixedVolume.GetName()}' is a {other.upper()} by DICOM and no MRI: exchange the two, "
            "or choose another."
        )
    if modality == "auto" and modality_from_dicom(movingVolume) == "mri":
        raise FusionError(
            f"The moving volume '{movingVolume.GetName()}' is an MRI by DICOM: exchange the two, choose another, or "
            "say its modality."
        )


def _checkScalar(volume: slicer.vtkMRMLScalarVolumeNode, role: str) -> None:
    if _components(volume) > 1:
        raise FusionError(f"'{volume.GetName()}' is in colour, but {role} has one value a voxel: convert it first.")


def _checkOutputs(outputs: dict[str, tuple[slicer.vtkMRMLNode | None, str]], inputs: tuple) -> None:
    taken = list(inputs)
    for role, (node, className) in outputs.items():
        if node is None:
            continue
        if node in taken:
            raise FusionError(
                f"The {role} cannot be '{node.GetName()}', which is used for something else: choose another, or let "
                "one be created."
            )
        if node.GetClassName() != className:
            raise FusionError(
                f"The {role} must be a {className}, but '{node.GetName()}' is a {node.GetClassName()}: choose another, "
                "or let one be created."
            )
        taken.append(node)


def _checkCarried(
    carry: Sequence[slicer.vtkMRMLNode], movingVolume: slicer.vtkMRMLScalarVolumeNode, staying: tuple
) -> None:
    """FusionError where one of these nodes cannot come under the result, which takes the moving volume's place."""
    place = parent_to_world(movingVolume)
    for node in carry:
        name = node.GetName()
        if node in staying:
            raise FusionError(f"'{name}' cannot move along, being the fixed volume or an output: choose another.")
        if not node.IsA("vtkMRMLTransformableNode") or not node.CanApplyNonLinearTransforms():
            raise FusionError(f"'{name}', a {node.GetClassName()}, cannot follow a deformation: choose another.")
        if any(_liesUnder(other, node) for other in (*staying, movingVolume) if other is not None):
            raise FusionError(f"A volume lies under '{name}', which therefore cannot move along: choose another.")
        if not np.allclose(parent_to_world(node), place, atol=same_place):
            raise FusionError(
                f"'{name}' does not lie under the same transform as the moving volume, so it cannot move along: put "
                "it there, or harden both."
            )


def _liesUnder(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLNode) -> bool:
    parent = node.GetParentTransformNode()
    return parent is not None and (parent is transform or _liesUnder(parent, transform))


def _components(volume: slicer.vtkMRMLScalarVolumeNode) -> int:
    return volume.GetImageData().GetNumberOfScalarComponents()


def _volumeClass(colour: bool) -> str:
    return "vtkMRMLVectorVolumeNode" if colour else "vtkMRMLScalarVolumeNode"
