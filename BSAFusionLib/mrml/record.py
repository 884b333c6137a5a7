"""The record of a run in Slicer, for its report."""

from dataclasses import fields
from typing import TYPE_CHECKING

from BSAFusionLib.report.record import Record, Scan, settings_texts
from BSAFusionLib.settings import Settings

if TYPE_CHECKING:
    import slicer

    from BSAFusionLib.mrml.logic import Job
    from BSAFusionLib.worker.volumes import Volume


def record_of(job: "Job", unit: str) -> Record:
    """Return where the result of a run comes from; "..." in its command stands for a node that is not named.

    Args:
        job: The run.
        unit: Of the moving volume's values.
    """
    settings = {field.name: getattr(job.settings, field.name) for field in fields(Settings)}
    given = {name: value for name, value in settings.items() if value != getattr(Settings, name)}
    texts = {name: "..." if hasattr(value, "TransformPoint") else repr(value) for name, value in given.items()}
    if job.fixedMask is not None:
        texts["fixedMask"] = "..."
    if job.dynamic is not None and len(job.dynamic.registered) < len(job.dynamic.frames):
        texts["frames"] = repr(",".join(str(number + 1) for number in job.dynamic.registered))
    nodes = (f"getNode({node.GetName()!r})" for node in (job.fixedVolume, job.movingVolume))
    arguments = ", ".join((*nodes, *(f"{name}={text}" for name, text in texts.items())))
    return Record(
        _scan(job.fixedVolume, job.fixed, "arbitrary"),
        _scan(job.movingVolume, job.moving, unit),
        f"BSAFusionLogic().process({arguments})",
        settings_texts(settings),
    )


def _scan(node: "slicer.vtkMRMLScalarVolumeNode", volume: "Volume", unit: str) -> Scan:
    return Scan(node.GetName(), volume.voxels.shape[2::-1], volume.spacing, unit)
