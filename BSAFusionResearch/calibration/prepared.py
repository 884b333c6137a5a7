"""Simulated patients as the network is given them: slices after the rigid initialization, and what is left to find."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.geometry.grids import directions, voxel_centers
from BSAFusionLib.geometry.inverse import carry_points
from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.case import prepare_case
from BSAFusionLib.pipeline.initialization import find_heads, initialize
from BSAFusionLib.pipeline.slice_plan import plan_slices
from BSAFusionLib.settings import Settings
from BSAFusionResearch.evaluation_heads.cases import HeadCase
from BSAFusionResearch.simulation.patient import best_rigid, brain_mask

ORIGIN = "made_from"  # of the header
POINT_STEP = 2  # every second voxel of the brain mask along each axis: 6 mm


@dataclass(frozen=True)
class PreparedCase:
    """One simulated patient, ready for any network; none of it depends on the weights.

    Attributes:
        name: Of the case.
        modality: Of the moving scan.
        elastic_mm: Largest length of the elastic part.
        fixed: Empty image on the fixed volume's grid.
        stacks: The slices that the network registers, as the rigid initialization places them.
        moving: The network input.
        initial: The rigid initialization, fixed point to moving point, mm, LPS.
        points: Voxels of the brain (n, 3), mm along the fixed volume's index axes from the corner of its first voxel.
        truth: What is left to find there (n, 3), mm along the fixed volume's index axes.
        best_rigid_mm: Mean error in the brain of the best rigid motion.
    """

    name: str
    modality: str
    elastic_mm: float
    fixed: sitk.Image
    stacks: tuple[Stack, ...]
    moving: sitk.Image
    initial: sitk.Euler3DTransform
    points: np.ndarray
    truth: np.ndarray
    best_rigid_mm: float


def prepare(case: HeadCase, folder: Path, weights: Path) -> PreparedCase:
    """Simulate a patient, initialize rigidly and cut the slices.

    Args:
        case: Which patient.
        folder: The label files of the heads.
        weights: Any weights for the modality; only the size of their slices counts.

    Raises:
        FusionError: The head or the weights are missing.
    """
    patient = case.patient(folder)
    prepared = prepare_case(patient.fixed, patient.moving, Settings(case.modality, weights=weights))
    initial = initialize(prepared, find_heads(prepared)).transform
    brain = brain_mask(patient)
    inside = np.zeros(brain.GetSize()[::-1], bool)
    coarse = (slice(None, None, POINT_STEP),) * 3
    inside[coarse] = sitk.GetArrayFromImage(brain)[coarse] > 0
    places = voxel_centers(brain)[inside]
    targets = carry_points(patient.truth, places)
    left = carry_points(initial.GetInverse(), targets) - places
    rigid = carry_points(best_rigid(patient.truth, brain), places)
    fixed = prepared.fixed
    corner = np.array(fixed.TransformContinuousIndexToPhysicalPoint([-0.5] * 3))
    return PreparedCase(
        name=case.name,
        modality=case.modality,
        elastic_mm=case.elastic_mm,
        fixed=_empty_like(fixed),
        stacks=plan_slices(prepared, initial).stacks,
        moving=prepared.network_input.moving,
        initial=sitk.Euler3DTransform(initial),
        points=(places - corner) @ directions(fixed),
        truth=left @ directions(fixed),
        best_rigid_mm=float(np.linalg.norm(rigid - targets, axis=1).mean()),
    )


def save_prepared(case: PreparedCase, path: Path, origin: Mapping[str, Any]) -> None:
    """Write a prepared case as `.npz`; slices and moving volume lose what half precision does not hold.

    Args:
        case: To write.
        path: The file.
        origin: What it was made from, as plain values, see `read_origin`.
    """
    header = {
        "name": case.name,
        "modality": case.modality,
        "elastic_mm": case.elastic_mm,
        "best_rigid_mm": case.best_rigid_mm,
        "grids": [_describe(grid) for grid in (case.fixed, case.moving, *(stack.grid for stack in case.stacks))],
        "initial": [case.initial.GetParameters(), case.initial.GetFixedParameters()],
        ORIGIN: dict(origin),
    }
    slices = {
        f"{name}{number}": getattr(stack, name).astype(np.float16)
        for number, stack in enumerate(case.stacks)
        for name in ("fixed", "moving")
    }
    slices["moving"] = sitk.GetArrayFromImage(case.moving).astype(np.float16)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez_compressed(unfinished, header=json.dumps(header), points=case.points, truth=case.truth, **slices)
    unfinished.replace(path)


def load_prepared(path: Path) -> PreparedCase:
    """Read what `save_prepared` wrote."""
    with np.load(path) as content:
        header = json.loads(str(content["header"]))
        header.pop(ORIGIN, None)
        fixed, moving_grid, *grids = (_grid(description) for description in header.pop("grids"))
        moving = sitk.GetImageFromArray(content["moving"].astype(np.float32))
        moving.CopyInformation(moving_grid)
        initial = sitk.Euler3DTransform()
        for set_values, values in zip(
            (initial.SetParameters, initial.SetFixedParameters), header.pop("initial"), strict=True
        ):
            set_values(values)
        stacks = tuple(
            Stack(grid, *(content[f"{name}{number}"].astype(np.float32) for name in ("fixed", "moving")))
            for number, grid in enumerate(grids)
        )
        volumes = {"fixed": fixed, "stacks": stacks, "moving": moving, "initial": initial}
        return PreparedCase(points=content["points"], truth=content["truth"], **volumes, **header)


def read_origin(path: Path) -> dict[str, Any] | None:
    """Return what a prepared case was made from; None for a file that does not say, as earlier versions wrote them."""
    with np.load(path) as content:
        origin: dict[str, Any] | None = json.loads(str(content["header"])).get(ORIGIN)
    return origin


def _empty_like(image: sitk.Image) -> sitk.Image:
    empty = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    empty.CopyInformation(image)
    return empty


def _describe(grid: sitk.Image) -> dict[str, list]:
    return {
        "size": list(grid.GetSize()),
        "spacing": list(grid.GetSpacing()),
        "origin": list(grid.GetOrigin()),
        "direction": list(grid.GetDirection()),
    }


def _grid(description: dict[str, list]) -> sitk.Image:
    grid = sitk.Image(description["size"], sitk.sitkUInt8)
    grid.SetSpacing(description["spacing"])
    grid.SetOrigin(description["origin"])
    grid.SetDirection(description["direction"])
    return grid
