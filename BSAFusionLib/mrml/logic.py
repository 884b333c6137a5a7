"""Register and fuse two volume nodes of a scene; the scene changes completely or not at all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.util import arrayFromVolume

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.mrml.convert import (
    TransformContent,
    VolumeContent,
    content_from_deformation,
    content_from_voxels,
    voxels_of,
)
from BSAFusionLib.mrml.display import draw_grid, show_volumes
from BSAFusionLib.mrml.filling import describe_doubt, put_expected_error, put_fused, put_registered, remove_former_error
from BSAFusionLib.mrml.hierarchy import file_beside, modality_from_dicom, unit_of
from BSAFusionLib.mrml.landmarks import LandmarkPairs, error_of_pairs, landmark_pairs
from BSAFusionLib.mrml.mask_node import checkMask, mask_voxels
from BSAFusionLib.mrml.node_checks import (
    checkCarried,
    checkFormerResult,
    checkInput,
    checkOutputs,
    checkOutsideResults,
    checkRoles,
    checkScalar,
    components,
    volumeClass,
)
from BSAFusionLib.mrml.nodes import put_both_parts, put_grid_transform
from BSAFusionLib.mrml.overlay import show_overlay
from BSAFusionLib.mrml.packages import require_packages
from BSAFusionLib.mrml.placement import (
    leave_result,
    mark_as_filled,
    parent_to_world,
    parents_before,
    place_under,
    under_former_result,
)
from BSAFusionLib.mrml.places import Places
from BSAFusionLib.mrml.record import record_of
from BSAFusionLib.mrml.request import Outputs, Request
from BSAFusionLib.mrml.sequences import Dynamic, dynamic_of, put_registered_sequence, remove_former_sequences
from BSAFusionLib.mrml.stored_place import remarks_on_file
from BSAFusionLib.mrml.transaction import all_or_nothing
from BSAFusionLib.pipeline.guess import likeliest_modality
from BSAFusionLib.pipeline.progress import Progress
from BSAFusionLib.pipeline.report import Report, Verdict
from BSAFusionLib.report.pictures import Pictures
from BSAFusionLib.report.record import Record
from BSAFusionLib.settings import AUTO, Settings
from BSAFusionLib.worker.case import Outcome, compute_case
from BSAFusionLib.worker.frames import carried_frames
from BSAFusionLib.worker.volumes import Volume

if TYPE_CHECKING:
    from BSAFusionLib.pipeline.result import Result

KEPT_GUESSES = 16  # of the modalities of volumes: a panel asks at every change


@dataclass(frozen=True)
class Job:
    """A checked run: its inputs, and the nodes that its outcome goes to.

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
    outputs: Outputs
    carry: tuple[slicer.vtkMRMLTransformableNode, ...]
    places: Places
    landmarks: LandmarkPairs | None
    remarks: tuple[str, ...] = ()  # on the files of both volumes
    fixedMask: Volume | None = None
    dynamic: Dynamic | None = None
    details: tuple[str, ...] = ()  # for those of the report

    @property
    def makeExpectedError(self) -> bool:
        """True where a volume of the expected error is requested, or given to be filled."""
        return self.outputs.makeExpectedError or self.outputs.expectedErrorVolume is not None

    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """Return the nodes that the run needs in the scene when it ends."""
        nodes = self.fixedVolume, self.movingVolume, *self.outputs.nodes(), *self.carry
        if self.dynamic is not None:
            nodes = (*nodes, self.dynamic.sequence)
        return [node for node in nodes if node is not None]


@dataclass(frozen=True)
class Computed:
    """The outcome of a run, converted for nodes, and its report.

    Attributes:
        fused: The fused volume.
        registered: The registered volume; None where it was not requested.
        transform: The deformation.
        report: Measures and warnings.
        pictures: Slices for the report's page.
        expectedError: In mm; None where it was not requested or is not known.
        result: The pipeline's own result; None where another process computed it.
        frames: Of a dynamic volume, registered.
    """

    fused: VolumeContent
    registered: VolumeContent | None
    transform: TransformContent
    report: Report
    pictures: Pictures
    expectedError: VolumeContent | None = None
    result: "Result | None" = None
    frames: tuple[VolumeContent, ...] = ()


@dataclass(frozen=True)
class ProcessResult:
    """The nodes of a finished run, in world coordinates, and its report.

    Attributes:
        fusedVolume: On the fixed volume's grid.
        gridTransform: Carries the moving volume onto the fixed one, as its parent transform in place of its own.
        registeredVolume: On the fixed volume's grid; None where it was not requested.
        report: Measures and warnings.
        pictures: Slices for the report's page.
        record: Where the result comes from, for that page.
        rigidTransform: Where split was asked for: the rigid part. A node below it is carried as by `gridTransform`.
        networkTransform: What the network adds, the parent of `rigidTransform`; None also where that is nothing.
        expectedErrorVolume: Expected length of the error, mm; None where it was not requested or is not known.
        registeredSequence: All frames of a dynamic volume on the fixed volume's grid, at their index values.
    """

    fusedVolume: slicer.vtkMRMLScalarVolumeNode
    gridTransform: slicer.vtkMRMLGridTransformNode
    registeredVolume: slicer.vtkMRMLScalarVolumeNode | None
    report: Report
    pictures: Pictures
    record: Record
    rigidTransform: slicer.vtkMRMLLinearTransformNode | None = None
    networkTransform: slicer.vtkMRMLGridTransformNode | None = None
    expectedErrorVolume: slicer.vtkMRMLScalarVolumeNode | None = None
    registeredSequence: slicer.vtkMRMLSequenceNode | None = None

    @property
    def verdict(self) -> Verdict:
        """Return whether the result is `doubtful`, and the `reasons`."""
        return self.report.verdict

    def page(self) -> str:
        """Return the report as one HTML page with its pictures; takes some seconds."""
        from BSAFusionLib.report.page import page  # here, since it imports SimpleITK

        return page(self.pictures, self.report, self.gridTransform.GetName(), self.record)


class BSAFusionLogic:
    """Registers a moving volume to a fixed MRI and fuses the two.

    `process` does everything. Its three parts can be called one by one: `prepare` and `fill` use the scene and must run
    on the main thread; `compute` does not and may run on any thread.
    """

    _guessed: Mapping[int, str] = {}  # the last guesses, by VTK's modification times of the voxels

    def process(
        self,
        fixedVolume: slicer.vtkMRMLScalarVolumeNode,
        movingVolume: slicer.vtkMRMLScalarVolumeNode,
        settings: Settings | None = None,
        outputs: Outputs | Mapping[str, Any] | None = None,
        carry: Sequence[slicer.vtkMRMLTransformableNode] = (),
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        **choices: Any,
    ) -> ProcessResult:
        """Register and fuse two volumes; the scene changes only when everything has succeeded.

        Args:
            fixedVolume: The MRI, scalar.
            movingVolume: CT (scalar), PET or SPECT (scalar or RGB). Both volumes are taken where their linear parent
                transforms put them.
            settings: The choices of the run; by default those of `Settings()`.
            outputs: Nodes to fill and what to make, as `Outputs` or as a mapping of its fields.
            carry: Nodes to put under the grid transform, in place of their own parents: the moving volume itself, and
                segmentations, markups, models, volumes or transforms that lie as it lies.
            progress: Called with the stage, the fraction of the whole job, and the slices done of how many, or None.
            cancelled: Called often; True stops the run.
            **choices: Single fields of `Settings`, such as modality="pet" or slice_axis="k". `prealignment` may also be
                a linear transform node that would carry the moving volume, from where it lies in the world, to the
                fixed one. `modality="auto"` goes by DICOM, then by the intensities. `split=True` is that of `Outputs`.
                `fixedMask` is a label map or segmentation node: the rigid registration and the mutual information of
                the report look only there. Where the moving volume shows a sequence, the mean of its frames is
                registered and all are carried along; `frames`, counted from 1 such as "3-8,12", chooses those of the
                mean.

        Raises:
            FusionError: A problem that the user can fix.
            Cancelled: `cancelled` returned True.
        """
        job = self.prepare(fixedVolume, movingVolume, settings, outputs, carry, **choices)
        computed = self.compute(job, progress, cancelled)
        if cancelled is not None and cancelled():
            raise Cancelled
        return self.fill(job, computed)

    def prepare(self, *arguments: Any, **choices: Any) -> Job:
        """Check nodes and choices, and collect the voxels and points of a run; the scene is only read.

        Args:
            *arguments: Those of `process`, without progress and cancelled.
            **choices: Those of `process`.

        Raises:
            FusionError: The run cannot start.
        """
        request = Request.of(*arguments, **choices)
        checkedSettings = self._checked(request)
        outputs = request.outputs
        landmarks = outputs.fixedLandmarks, outputs.movingLandmarks
        if landmarks.count(None) == 1:
            raise FusionError("Landmarks are given on one of the volumes only; give the same points on both, or none.")
        dynamic = dynamic_of(request.movingVolume, request.frames)
        return Job(
            voxels_of(request.fixedVolume),
            voxels_of(request.movingVolume) if dynamic is None else dynamic.mean(),
            parent_to_world(request.movingVolume),
            checkedSettings,
            request.fixedVolume,
            request.movingVolume,
            outputs.fusedVolume,
            outputs.gridTransform,
            outputs.registeredVolume,
            outputs.makeRegistered or outputs.registeredVolume is not None,
            outputs,
            request.carry,
            Places.of(request.fixedVolume, request.movingVolume, request.carry),
            landmark_pairs(*landmarks, request.movingVolume) if None not in landmarks else None,
            (
                *remarks_on_file(request.fixedVolume),
                *remarks_on_file(request.movingVolume),
                *([] if dynamic is None else [dynamic.remark()]),
            ),
            mask_voxels(request.fixedMask) if request.fixedMask is not None else None,
            dynamic,
            self._guessRemark(request.movingVolume, request.settings.modality),
        )

    def _guessRemark(self, movingVolume: slicer.vtkMRMLScalarVolumeNode, asked: str) -> tuple[str, ...]:
        """Return a remark where the modality was guessed; the expected error of another one would differ."""
        if asked != AUTO:
            return ()
        modality, byDicom = self.foundModality(movingVolume)
        if byDicom:
            return ()
        label, name = MODALITIES[modality].label, movingVolume.GetName()
        return (f"'{name}' was taken for a {label} by its intensities; if it is none, choose its modality.",)

    def check(self, *arguments: Any, **choices: Any) -> Settings:
        """Check nodes and choices without copying voxels, fast enough for a panel to call at every change.

        Args:
            *arguments: Those of `process`, without progress and cancelled.
            **choices: Those of `process`.

        Returns:
            The settings of such a run, with its modality.

        Raises:
            FusionError: The run cannot start.
        """
        return self._checked(Request.of(*arguments, **choices))

    def _checked(self, request: Request) -> Settings:
        fixedVolume = checkInput(request.fixedVolume, "fixed")
        movingVolume = checkInput(request.movingVolume, "moving")
        settings = request.settings
        if fixedVolume is movingVolume:
            raise FusionError(f"'{fixedVolume.GetName()}' is both the fixed and the moving volume; choose two volumes.")
        for volume in (fixedVolume, movingVolume):
            parent_to_world(volume)
        checkOutsideResults(fixedVolume, "fixed volume")
        checkRoles(fixedVolume, movingVolume, settings.modality)
        if settings.modality == AUTO:
            settings = replace(settings, modality=self.foundModality(movingVolume)[0])
        in_color = MODALITIES[settings.modality].in_color
        checkScalar(fixedVolume, "a fixed volume (MRI)")
        if not in_color:
            checkScalar(movingVolume, f"a {MODALITIES[settings.modality].label}")
        outputs = request.outputs
        checkOutputs(
            {
                "fused volume": (outputs.fusedVolume, volumeClass(in_color)),
                "grid transform": (outputs.gridTransform, "vtkMRMLGridTransformNode"),
                "registered volume": (outputs.registeredVolume, volumeClass(components(movingVolume) > 1)),
                "rigid transform": (outputs.rigidTransform, "vtkMRMLLinearTransformNode"),
                "network transform": (outputs.networkTransform, "vtkMRMLGridTransformNode"),
                "expected error": (outputs.expectedErrorVolume, "vtkMRMLScalarVolumeNode"),
            },
            inputs=(fixedVolume, *parents_before(fixedVolume), movingVolume, *parents_before(movingVolume)),
        )
        checkMask(request.fixedMask)
        checkFormerResult(request.carry, movingVolume, outputs.gridTransform)
        of_fixed = fixedVolume, request.fixedMask, outputs.fixedLandmarks
        checkCarried(request.carry, movingVolume, (*of_fixed, *outputs.nodes()))
        return settings

    def foundModality(self, movingVolume: slicer.vtkMRMLScalarVolumeNode) -> tuple[str, bool]:
        """Return the modality that "auto" stands for.

        Returns:
            "ct", "pet" or "spect", and True where it is from DICOM, False where it was guessed from intensities.
        """
        modality = modality_from_dicom(movingVolume)
        if modality in MODALITIES:
            return modality, True
        modified = movingVolume.GetImageData().GetMTime()  # unique among all objects of VTK and their states
        if modified not in self._guessed:
            last = dict(list(self._guessed.items())[1 - KEPT_GUESSES :])
            self._guessed = {**last, modified: likeliest_modality(arrayFromVolume(movingVolume))}
        return self._guessed[modified], False

    def outputNames(self, fixedVolume: slicer.vtkMRMLNode, movingVolume: slicer.vtkMRMLNode) -> tuple[str, str, str]:
        """Return the names of a fused volume, grid transform and registered volume that a run creates."""
        fixed, moving = fixedVolume.GetName(), movingVolume.GetName()
        return f"{fixed} + {moving} (BSAFusion fused)", f"{moving} to {fixed}", f"{moving} registered"

    def compute(
        self,
        job: Job,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Computed:
        """Compute a run in this process, on any thread; the scene is not used."""
        require_packages()
        mask = job.fixedMask.image() if job.fixedMask is not None else None
        case = compute_case(job.fixed.image(), job.moving.image(), job.settings, progress, cancelled, mask)
        frames = () if job.dynamic is None else carried_frames(job.dynamic.frames, case.result)
        return replace(self.computed(job, case.outcome(), frames), result=case.result)

    def computed(self, job: Job, outcome: Outcome, frames: Iterable[Volume] = ()) -> Computed:
        """Convert an outcome and the registered frames, from this or another process, for nodes; voxels are copied."""
        transform = content_from_deformation(outcome.deformation, job.movingToWorld)
        warnings, details = (*job.remarks, *outcome.report.warnings), (*job.details, *outcome.report.details)
        report = replace(outcome.report, warnings=warnings, details=details)
        if job.landmarks is not None:
            error = error_of_pairs(job.landmarks, job.movingToWorld, transform.from_parent.GetInverse())
            report = replace(report, landmarks=error)
        return Computed(
            content_from_voxels(outcome.fused),
            content_from_voxels(outcome.registered) if job.makeRegistered else None,
            transform,
            report,
            outcome.pictures.in_unit(unit_of(job.movingVolume)),
            content_from_voxels(outcome.expected_error)
            if job.makeExpectedError and outcome.expected_error is not None
            else None,
            frames=tuple(content_from_voxels(frame) for frame in frames),
        )

    def fill(self, job: Job, computed: Computed) -> ProcessResult:
        """Put the outcome of a run into the scene and show it.

        Raises:
            FusionError: A node of the run was removed, or moved so that the result does not fit it any more.
        """
        gone = next((node for node in job.nodes() if node.GetScene() is None), None)
        if gone is not None:
            raise FusionError(f"'{gone.GetName()}' was removed while it was in use; run again without it.")
        job.places.check()
        scene = job.fixedVolume.GetScene()
        fusedName, transformName, registeredName = self.outputNames(job.fixedVolume, job.movingVolume)
        outputs, parts = job.outputs, (None, None)
        former = under_former_result(job.gridTransform, job.movingVolume)
        with all_or_nothing(scene, *outputs.nodes(), moved=(*job.carry, *former)):
            for node in former:
                leave_result(node, job.gridTransform)
            fusedVolume = put_fused(job, computed, fusedName)
            registeredVolume = put_registered(job, computed, registeredName)
            gridTransform = put_grid_transform(scene, computed.transform, transformName, job.gridTransform)
            drawn = computed.transform
            draw_grid(gridTransform, job.fixedVolume, drawn.lines_mm, drawn.smallest_mm, drawn.largest_mm)
            for node in job.carry:
                place_under(node, gridTransform)
            if outputs.split:
                given = outputs.rigidTransform, outputs.networkTransform
                parts = put_both_parts(scene, computed.transform, transformName, *given)
                mark_as_filled((), parts[0], job.movingVolume)
            expectedError = put_expected_error(job, computed, f"{transformName} (expected error)")
            volumes = {fusedVolume, registeredVolume, expectedError} - {None}
            for node in {*volumes, gridTransform, *parts} - {*job.nodes(), None}:
                file_beside(node, job.fixedVolume)
            if registeredVolume is not None:
                show_overlay(job.fixedVolume, registeredVolume)
            else:
                show_volumes(fusedVolume)
            mark_as_filled(volumes, gridTransform, job.movingVolume)
            sequence = put_registered_sequence(job, computed, f"{job.movingVolume.GetName()} registered frames")
            describe_doubt((*volumes, gridTransform, *parts, sequence), computed.report)
        remove_former_error(job, computed)  # only now, since a removed node cannot be put back
        remove_former_sequences(job, sequence)
        record = record_of(job, computed.pictures.overlay.unit)
        filled = fusedVolume, gridTransform, registeredVolume
        return ProcessResult(*filled, computed.report, computed.pictures, record, *parts, expectedError, sequence)
