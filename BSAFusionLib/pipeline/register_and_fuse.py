"""Registers a moving volume to a fixed MRI and fuses the two, a step a line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.geometry.fields import (
    compose_field,
    compose_transform,
    fade_to_zero,
    jacobian_determinant,
    limit_length,
    remove_global_scaling,
    resample_through,
    scale,
)
from BSAFusionLib.geometry.folds import remove_folds
from BSAFusionLib.geometry.grids import crop_to_grid, lattice_over, resample_on_grid
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.stack import Stack
from BSAFusionLib.pipeline.input_checks import checked
from BSAFusionLib.pipeline.intensities import (
    Intensities,
    guess_modality,
    head_mask,
    in_colour,
    luminance_weights,
    measure_intensities,
)
from BSAFusionLib.pipeline.measures import displacement_lengths, mutual_information
from BSAFusionLib.pipeline.memory import check_memory, shortage_told
from BSAFusionLib.pipeline.posterior import posterior_field
from BSAFusionLib.pipeline.report import Report
from BSAFusionLib.pipeline.result import Result
from BSAFusionLib.pipeline.rigid import prealign_rigidly
from BSAFusionLib.pipeline.slicing import cut, fine_enough, slice_axis, slice_grid, stacked, thinned
from BSAFusionLib.pipeline.stages import STAGE_SHARES, Progress, Slices
from BSAFusionLib.pipeline.verdict import Features, Verdict, keep_what_helps
from BSAFusionLib.resources import MODELS
from BSAFusionLib.settings import AUTO, Settings

coarsest = 5.0  # pixels of a slice: longer voxels show too little of a head's shape
most_apart = 10.0  # pixels between the slices that are registered; the deformation is far smoother
prior_sigma = 16.0  # pixels of a slice: how smooth the deformations are that the network was trained on
worth_less = 4  # voxels a pixel, from which on a volume's memory is worth less detail
slab_voxels = 1 << 25  # that are coloured at once
longest_trained = 18.0  # pixels of a slice: the displacements that the network was trained on reach about so far
nodes_a_sigma = 8  # of the field's grid: what lies between, taken linearly, is off by a thousandth of the displacement


@shortage_told()
def register_and_fuse(
    fixed: sitk.Image,
    moving: sitk.Image,
    settings: Settings,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Result:
    """Align `moving` to `fixed` and fuse the two.

    Args:
        fixed: the MRI, a scalar volume.
        moving: CT (scalar), PET or SPECT (scalar, or RGB of uint8). It must overlap the fixed volume as it is placed,
            by the given start if there is one: the rigid start is found, but only for volumes that somebody has laid
            over each other, since far apart means a wrong pair more often than a wrong origin.
        settings: the choices of this run.
        progress: told the stage, the fraction of the whole job that is done, in 0..1, and in the network's stage how
            many slices are done of how many, else None.
        cancelled: asked often.

    Raises:
        FusionError: what the user can mend: volumes that cannot be aligned, weights or a device that are not there, too
            little memory.
        Cancelled: `cancelled` said so.
    """
    # Here, since torch takes seconds to import.
    from BSAFusionLib.network.devices import choose_device
    from BSAFusionLib.network.runner import Runner
    from BSAFusionLib.network.weights import load_inference_network, read_parts, sha256

    if settings.modality == AUTO:
        settings = replace(settings, modality=guess_modality(moving))
    stages = _Stages(progress, cancelled)

    with stages.run("intensities"):
        start, kind = _given_start(settings)
        fixed, moving, warnings = checked(fixed, moving, settings.modality, start)
        weights = Path(settings.weights or MODELS / MODALITIES[settings.modality].weights)
        network = load_inference_network(weights, settings.precision)
        size = network.metadata.size
        runner = Runner(network, choose_device(settings.device), settings.batch_size, stages.tell_slices, cancelled)
        if network.metadata.modality not in (settings.modality, "all"):
            warnings.append(f"The weights {weights.name} were trained for {network.metadata.modality}.")
        check_memory(_needed(fixed, moving, settings, size))
        seen, moving_intensities = _what_is_seen(fixed, moving, settings, size, warnings)

    with stages.run("pre-alignment"):
        if kind == "rigid":
            start = prealign_rigidly(seen.fixed, seen.moving, stages.tell, cancelled)

    with stages.run("slices"):
        axes = _axes(fixed, settings, size)
        stacks = _to_register(seen, start, axes, size)
        pixel = stacks[0].grid.GetSpacing()[0]
        head = head_mask(resample_on_grid(seen.fixed, lattice_over(fixed, [pixel] * 3)))
        whole = slice_grid(fixed, settings.slice_axis, fine_enough(fixed, axes[0], size))
        seen_head = _inside(head, whole)
        if not seen_head.any():
            raise FusionError("No head stands out in the fixed volume; choose an MRI of one.")

    with stages.run("registration"):
        evidence = runner.register(stacks, mirrored=settings.refine)

    with stages.run("deformation"):
        sigma = [prior_sigma * pixel] * 3
        if len(axes) == 1:
            sigma[axes[0]] = max(settings.through_plane_smoothing, fixed.GetSpacing()[axes[0]])
        lattice = lattice_over(fixed, [each / nodes_a_sigma for each in sigma])
        found = scale(posterior_field(evidence, fixed, sigma, lattice), settings.strength)
        if settings.do_no_harm:
            # The same head has one size on every scanner; but intensities can make it look larger on one.
            seen_along = np.reshape(fixed.GetDirection(), (3, 3))[:, [0, 1, 2] if len(axes) > 1 else _others(axes[0])]
            found = remove_global_scaling(found, _inside(head, lattice), seen_along)
            found, longest = limit_length(found, longest_trained * pixel)
            if longest > longest_trained * pixel:
                warnings.append(
                    f"The network found displacements of up to {longest:.0f} mm, further than it was trained on; they "
                    f"were cut to {longest_trained * pixel:.0f} mm. Give a better start, if there is one."
                )
        features = _features(seen, _grid_to_register(seen, axes[0], size), runner.agreement)
        network_field, verdict = _kept(found, seen, start, axes[0], features, settings, warnings)
        both = compose_transform(network_field, start)

    with stages.run("fusion"):
        aligned = Stack(whole, cut(seen.fixed, whole), cut(seen.moving, whole, both))
        fused_slices = runner.fuse(aligned)

    with stages.run("volumes"):
        registered = resample_through(moving, fixed, both)
        if in_colour(settings.modality):
            fused = _coloured(fused_slices, whole, registered, moving_intensities)
        else:
            fused = stacked(fused_slices, whole, fixed)

    with stages.run("report"):
        information = [
            mutual_information(aligned.fixed[seen_head], shown[seen_head])
            for shown in (cut(seen.moving, whole), cut(seen.moving, whole, start), aligned.moving)
        ]
        total_field = compose_field(network_field, start)
        determinants = sitk.GetArrayFromImage(crop_to_grid(jacobian_determinant(total_field), lattice))
        lengths = [
            displacement_lengths(sitk.GetArrayFromImage(crop_to_grid(field, lattice))[_inside(head, lattice)])
            for field in (total_field, network_field)
        ]
        percent_folded = float(100 * np.mean(determinants <= 0))
        warnings += [*runner.remarks, *_doubts(information, percent_folded)]
        report = Report(
            modality=settings.modality,
            prealignment=kind,
            slices=len(aligned.filled),
            axes=tuple("ijk"[axis] for axis in axes),
            verdict=verdict,
            mutual_information_before=information[0],
            mutual_information_prealigned=information[1],
            mutual_information_after=information[2],
            displacement=lengths[0],
            network_displacement=lengths[1],
            smallest_jacobian=float(determinants.min()),
            percent_folded=percent_folded,
            device=str(runner.device),
            precision=settings.precision,
            weights=weights.name,
            weights_sha256=sha256(read_parts(weights)),
            seconds=stages.seconds,  # this stage's own go in when it ends
            warnings=tuple(warnings),
        )
    return Result(fused, registered, network_field, start, report, found)


class _Stages:
    """Times the stages, tells how far the whole job is, and stops it between stages when asked to."""

    def __init__(self, progress: Progress | None, cancelled: Callable[[], bool] | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._cancelled = progress, cancelled
        self._name, self._done = "", 0.0

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        self._name = name
        self.tell(0.0)
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun
        self.tell(1.0)
        self._done += STAGE_SHARES[name]

    def tell(self, fraction: float, slices: Slices = None) -> None:
        """The fraction of the present stage that is done."""
        if self._progress is not None:
            self._progress(self._name, min(1.0, self._done + STAGE_SHARES[self._name] * fraction), slices)

    def tell_slices(self, done: int, total: int) -> None:
        """Report how many slices the network has processed in the present stage."""
        self.tell(done / total, (done, total))


def _given_start(settings: Settings) -> tuple[sitk.Transform, str]:
    """Where the moving volume is taken to lie at first, and the kind of pre-alignment."""
    if isinstance(settings.prealignment, sitk.Transform):
        return settings.prealignment, "given"
    return sitk.Transform(3, sitk.sitkIdentity), settings.prealignment


def _needed(fixed: sitk.Image, moving: sitk.Image, settings: Settings, size: int) -> float:
    """About how many bytes a run takes beside the volumes: the results, what is seen of them, slices and network."""
    values = moving.GetNumberOfComponentsPerPixel() * moving.GetSizeOfPixelComponent()
    results = fixed.GetNumberOfPixels() * (values + (3 if in_colour(settings.modality) else 4))
    seen = 4 * sum(image.GetNumberOfPixels() / np.prod(_together(image, fixed, size)) for image in (fixed, moving))
    slices = 4 * size**2 * fixed.GetSize()[slice_axis(fixed, settings.slice_axis)]
    return results + 2 * seen + 6 * slices + 6e8


def _together(image: sitk.Image, fixed: sitk.Image, size: int) -> list[int]:
    """How many of an image's voxels along each axis are seen as one: as many as a pixel of the slices holds, where that
    is `worth_less` or more."""
    pixel = min(slice_grid(fixed, axis, size).GetSpacing()[0] for axis in "ijk")
    counts = [int(pixel / own) for own in image.GetSpacing()]
    return [count if count >= worth_less else 1 for count in counts]


class _Seen(NamedTuple):
    """What the network sees of both volumes: float32 in [0, 1], each on its own grid, or on a coarser one."""

    fixed: sitk.Image
    moving: sitk.Image


def _what_is_seen(
    fixed: sitk.Image, moving: sitk.Image, settings: Settings, size: int, warnings: list[str]
) -> tuple[_Seen, Intensities]:
    """What the network sees, in slices of `size` pixels, and how the moving volume's values became it."""
    fixed_intensities, _ = measure_intensities(fixed, "mri")
    moving_intensities, remark = measure_intensities(moving, settings.modality, settings.ct_window)
    if remark:
        warnings.append(remark)
    shown = [
        intensities.luminance(image, _together(image, fixed, size))
        for intensities, image in ((fixed_intensities, fixed), (moving_intensities, moving))
    ]
    return _Seen(*shown), moving_intensities


def _axes(fixed: sitk.Image, settings: Settings, size: int) -> list[int]:
    """The index axes whose slices are registered, the one whose slices are fused first.

    The others only where their slices are fine enough in both directions.
    """
    across = slice_axis(fixed, settings.slice_axis)
    others = _others(across) if settings.three_axes else []
    pixels = [slice_grid(fixed, "ijk"[axis], size).GetSpacing()[0] for axis in others]
    fine = [axis for axis, pixel in zip(others, pixels, strict=True) if fixed.GetSpacing()[across] <= coarsest * pixel]
    return [across, *fine]


def _others(axis: int) -> list[int]:
    return [other for other in range(3) if other != axis]


def _to_register(seen: _Seen, start: sitk.Transform, axes: list[int], size: int) -> list[Stack]:
    """The slices of every axis that are registered; FusionError where none shows both volumes."""
    stacks = []
    for axis in axes:
        grid = _grid_to_register(seen, axis, size)
        stacks.append(Stack(grid, cut(seen.fixed, grid), cut(seen.moving, grid, start)))
    stacks = [stack for stack in stacks if len(stack.filled) > 0]
    if not stacks:
        raise FusionError(
            "No slice shows both volumes after the pre-alignment; see that both show the same head and that their "
            "voxel sizes are right, or set another start."
        )
    return stacks


def _grid_to_register(seen: _Seen, axis: int, size: int) -> sitk.Image:
    """The slices across an axis that are registered."""
    every = slice_grid(seen.fixed, "ijk"[axis], size)
    return thinned(every, most_apart * every.GetSpacing()[0])


def _features(seen: _Seen, grid: sitk.Image, agreement: Callable[[Stack], np.ndarray]) -> Features:
    """How the slices of a grid are compared when a transform has brought the moving volume to them."""
    fixed = cut(seen.fixed, grid)
    return Features(lambda transform: agreement(Stack(grid, fixed, cut(seen.moving, grid, transform))), grid)


def _inside(mask: sitk.Image, grid: sitk.Image) -> np.ndarray:
    """Which voxels of a grid (slice, row, column) lie in a mask."""
    return sitk.GetArrayFromImage(sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0


def _kept(
    field: sitk.Image,
    seen: _Seen,
    start: sitk.Transform,
    across: int,
    features: Features,
    settings: Settings,
    warnings: list[str],
) -> tuple[sitk.Image, Verdict | None]:
    """The network's field so far as it helps and does not fold, a margin around it; and the verdict, if asked."""
    verdict = None
    if settings.do_no_harm and settings.strength > 0:
        field, verdict = keep_what_helps(field, start, seen.fixed, seen.moving, across, features)
        warnings += filter(None, [verdict.remark()])
    field = fade_to_zero(field)
    if settings.fold_free:
        field, damped = remove_folds(field)
        if damped > 0:
            warnings.append(f"The deformation folded space in places; it was damped there, by {damped:.1f} mm at most.")
    return field, verdict


def _doubts(information: list[float], percent_folded: float) -> Iterator[str]:
    """What the figures give to think: the mutual information as placed, at the start and after all, and the folding."""
    as_placed, at_the_start, after_all = information
    if after_all < at_the_start:
        yield (
            "The deformation lowered the mutual information, so it may have made the alignment worse than the start "
            "alone; compare before and after, or set the strength to 0."
        )
    if after_all < as_placed:
        yield "The volumes are less alike than they were as placed; choose another start."
    if percent_folded > 0:
        yield (
            f"The deformation folds in {percent_folded:.2g} % of the voxels; have it made free of folds, or lower the "
            "strength."
        )


def _coloured(slices: np.ndarray, grid: sitk.Image, registered: sitk.Image, intensities: Intensities) -> sitk.Image:
    """The luminance of fused slices on a grid in the registered volume's colours (RGB of uint8), on its grid.

    To keep Cb and Cr and replace Y is to add the difference in Y to red, green and blue alike (BT.601).
    """
    image = sitk.Image(registered.GetSize(), sitk.sitkVectorUInt8, 3)
    image.CopyInformation(registered)
    columns, rows, count = registered.GetSize()
    thick = max(1, slab_voxels // (columns * rows))
    for start in range(0, count, thick):
        slab = registered[:, :, start : start + thick]
        fused = stacked(slices, grid, slab)
        arrays = sitk.GetArrayViewFromImage(fused), sitk.GetArrayViewFromImage(slab)
        rgb = np.empty((*arrays[0].shape, 3), np.uint8)
        for out, luminance, values in zip(rgb, *arrays, strict=True):
            colour = intensities.colour(values[None])[0]
            change = luminance - colour @ luminance_weights
            out[:] = np.rint(255 * np.clip(colour + change[..., None], 0, 1))
        image[:, :, start : start + thick] = sitk.GetImageFromArray(rgb, isVector=True)
    return image
