"""Nodes in, nodes out: registers and fuses two volumes of a scene, all or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.intensities import guess_modality
from BSAFusionLib.pipeline import register_and_fuse
from BSAFusionLib.report import Report
from BSAFusionLib.result import Result
from BSAFusionLib.scene import (
    all_or_nothing,
    image_from_volume,
    modality_from_dicom,
    parent_to_world,
    put_grid_transform,
    put_volume,
    show_fused,
    show_grid,
    show_like,
    transform_from_field,
    transform_from_node,
    volume_from_image,
)
from BSAFusionLib.settings import Settings


@dataclass(frozen=True)
class Job:
    """One run as `prepare` found it: what to compute from, and the nodes that the outcome goes to."""

    fixed: sitk.Image
    moving: sitk.Image
    movingToWorld: np.ndarray
    settings: Settings
    fixedVolume: slicer.vtkMRMLScalarVolumeNode
    movingVolume: slicer.vtkMRMLScalarVolumeNode
    fusedVolume: slicer.vtkMRMLScalarVolumeNode | None
    gridTransform: slicer.vtkMRMLGridTransformNode | None
    registeredVolume: slicer.vtkMRMLScalarVolumeNode | None


@dataclass(frozen=True)
class ProcessResult:
    """The nodes of a finished run, all in world coordinates, and what was measured on it.

    fusedVolume and registeredVolume lie on the fixed volume's grid. gridTransform, set as the moving volume's parent
    transform in place of the one it had, carries the moving volume onto the fixed one.
    """

    fusedVolume: slicer.vtkMRMLScalarVolumeNode
    gridTransform: slicer.vtkMRMLGridTransformNode
    registeredVolume: slicer.vtkMRMLScalarVolumeNode
    report: Report


class BSAFusionLogic:
    """Registers a moving volume to a fixed MRI and fuses the two.

    `process` does it all. Its three parts can be called one by one: `prepare` and `fill` touch the scene and belong on
    the main thread, `compute` does not and may run on any.
    """

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
        batchSize: int | None = Settings.batch_size,
        throughPlaneSmoothing: float = Settings.through_plane_smoothing,
        strength: float = Settings.strength,
        weights: Path | str | None = Settings.weights,
        progress: Callable[[str, float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> ProcessResult:
        """Registers and fuses; the scene changes only when everything has succeeded.

        fixedVolume: the MRI, scalar. movingVolume: CT (scalar), PET or SPECT (scalar or RGB). Both are taken where
            their linear parent transforms put them.
        fusedVolume, gridTransform, registeredVolume: nodes to fill; those not given are created.
        modality: "ct", "pet", "spect", or "auto": from DICOM, else from the intensities.
        prealignment: "rigid", "none", or a linear transform node that would carry the moving volume, from where it
            lies in the world, to the fixed one.
        The other choices are those of Settings. progress(stage, fraction) is told how far the whole job is;
        cancelled() is asked often.
        Raises FusionError for what the user can mend, Cancelled when asked to stop.
        """
        job = self.prepare(
            fixedVolume,
            movingVolume,
            fusedVolume,
            gridTransform,
            registeredVolume,
            modality,
            prealignment,
            sliceAxis,
            ctWindow,
            device,
            batchSize,
            throughPlaneSmoothing,
            strength,
            weights,
        )
        result = self.compute(job, progress, cancelled)
        if cancelled is not None and cancelled():
            raise Cancelled
        return self.fill(job, result)

    def prepare(
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
        batchSize: int | None = Settings.batch_size,
        throughPlaneSmoothing: float = Settings.through_plane_smoothing,
        strength: float = Settings.strength,
        weights: Path | str | None = Settings.weights,
    ) -> Job:
        """Checks nodes and choices, as `process` explains them, and copies the voxels; the scene is only read."""
        _checkInput(fixedVolume, "fixed")
        _checkInput(movingVolume, "moving")
        if fixedVolume is movingVolume:
            raise FusionError(f"'{fixedVolume.GetName()}' is both the fixed and the moving volume: choose two volumes.")
        moving = image_from_volume(movingVolume)
        if modality == "auto":
            modality = modality_from_dicom(movingVolume) or guess_modality(moving)
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
            batch_size=batchSize,
            through_plane_smoothing=throughPlaneSmoothing,
            strength=strength,
            weights=weights,
        )
        _checkScalar(fixedVolume, "a fixed volume (MRI)")
        if modality == "ct":
            _checkScalar(movingVolume, "a CT")
        _checkOutputs(
            {
                "fused volume": (fusedVolume, _volumeClass(modality != "ct")),
                "grid transform": (gridTransform, "vtkMRMLGridTransformNode"),
                "registered volume": (registeredVolume, _volumeClass(_components(movingVolume) > 1)),
            },
            inputs=(fixedVolume, fixedVolume.GetParentTransformNode(), movingVolume),
        )
        return Job(
            image_from_volume(fixedVolume),
            moving,
            parent_to_world(movingVolume),
            settings,
            fixedVolume,
            movingVolume,
            fusedVolume,
            gridTransform,
            registeredVolume,
        )

    def compute(
        self,
        job: Job,
        progress: Callable[[str, float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Result:
        """The computing; no node is touched."""
        return register_and_fuse(job.fixed, job.moving, job.settings, progress, cancelled)

    def fill(self, job: Job, result: Result) -> ProcessResult:
        """Puts a result into the scene: everything is made outside of it first, then put in at once."""
        fused = volume_from_image(result.fused)
        registered = volume_from_image(result.registered)
        transform = transform_from_field(result.field, job.movingToWorld)

        scene = job.fixedVolume.GetScene()
        fixedName, movingName = job.fixedVolume.GetName(), job.movingVolume.GetName()
        with all_or_nothing(scene):
            fusedVolume = put_volume(scene, fused, f"{fixedName} + {movingName}", job.fusedVolume)
            registeredVolume = put_volume(scene, registered, f"{movingName} registered", job.registeredVolume)
            gridTransform = put_grid_transform(scene, transform, f"{movingName} to {fixedName}", job.gridTransform)
            show_like(registeredVolume, job.movingVolume)
            show_grid(gridTransform, result.field)
            show_fused(fusedVolume)
        return ProcessResult(fusedVolume, gridTransform, registeredVolume, result.report)


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
                f"The {role} cannot be '{node.GetName()}', which is used for something else: choose another."
            )
        if node.GetClassName() != className:
            raise FusionError(
                f"The {role} must be a {className}, but '{node.GetName()}' is a {node.GetClassName()}: choose another."
            )
        taken.append(node)


def _components(volume: slicer.vtkMRMLScalarVolumeNode) -> int:
    return volume.GetImageData().GetNumberOfScalarComponents()


def _volumeClass(colour: bool) -> str:
    return "vtkMRMLVectorVolumeNode" if colour else "vtkMRMLScalarVolumeNode"
