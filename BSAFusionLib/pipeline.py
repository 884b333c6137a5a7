"""Registers a moving volume to a fixed MRI and fuses the two, a step a line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.border import fade_out, within
from BSAFusionLib.deformation import compose, jacobian_determinant, joined, resample_through, scaled
from BSAFusionLib.errors import Cancelled, FusionError
from BSAFusionLib.intensities import Intensities, head_mask, luminance_weights, measure_intensities
from BSAFusionLib.posterior import SliceEvidence, posterior_field
from BSAFusionLib.prealignment import prealign_rigidly
from BSAFusionLib.report import Report, displacement_lengths, mutual_information
from BSAFusionLib.result import Result
from BSAFusionLib.settings import Settings
from BSAFusionLib.slices import cut, slice_axis, slice_grid, stacked, thinned
from BSAFusionLib.topology import without_folds
from BSAFusionLib.verdict import keep_what_helps

shipped_models = Path(__file__).resolve().parents[1] / "Resources" / "Models"
empty_share = 0.005  # a slice in which less of either volume is brighter than `empty_level` is not worth the network
empty_level = 0.05
thinnest, thickest = 1e-3, 1e3  # mm, of what can be taken for a voxel of a head
flattest = 1e-3  # the least volume that directions of length one may span
beyond_measure = 1e37  # float32 ends at 3.4e38, and sums of such values before
coarsest = 5.0  # pixels of a slice: longer voxels show too little of a head's shape
most_apart = 5.0  # pixels between the slices that are registered; the deformation is far smoother
prior_sigma = 16.0  # pixels of a slice: how smooth the deformations are that the network was trained on

# What part of the whole job's time each stage takes, roughly; the progress is told by it.
stage_shares = {
    "intensities": 0.02,
    "pre-alignment": 0.20,
    "slices": 0.03,
    "registration": 0.45,
    "deformation": 0.07,
    "fusion": 0.15,
    "volumes": 0.04,
    "report": 0.04,
}

Slices = tuple[int, int] | None  # of those that go through the network: how many are done, and how many there are
Progress = Callable[[str, float, Slices], None]


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
        FusionError: what the user can mend: volumes that cannot be aligned, weights or a device that are not there.
        Cancelled: `cancelled` said so.
    """
    # Here, since torch takes seconds to import.
    from BSAFusionLib.network.checkpoints import kept_network, read_parts, sha256
    from BSAFusionLib.network.inference import Running, choose_device, fuse_slices, register_slices

    stages = _Stages(progress, cancelled)

    with stages.run("intensities"):
        start, kind = _given_start(settings)
        fixed, moving, warnings = _checked(fixed, moving, settings, start)
        device = choose_device(settings.device)
        weights = Path(settings.weights or shipped_models / f"{settings.modality}.safetensors")
        network = kept_network(weights)
        fixed_intensities, _ = measure_intensities(fixed, "mri")
        moving_intensities, remark = measure_intensities(moving, settings.modality, settings.ct_window)
        fixed_seen, moving_seen = fixed_intensities.luminance(fixed), moving_intensities.luminance(moving)
        if remark:
            warnings.append(remark)
        if network.metadata.modality not in (settings.modality, "all"):
            warnings.append(f"The weights {weights.name} were trained for {network.metadata.modality}.")

    with stages.run("pre-alignment"):
        if kind == "rigid":
            start = prealign_rigidly(fixed_seen, moving_seen, stages.tell, cancelled)

    with stages.run("slices"):
        across = slice_axis(fixed, settings.slice_axis)
        axes = [across]
        if settings.three_axes:
            axes += _other_axes(fixed, across, network.metadata.size)
        stacks = []
        for axis in axes:
            every = slice_grid(fixed, "ijk"[axis], network.metadata.size)
            grid = thinned(every, most_apart * every.GetSpacing()[0])
            stacks.append(_Stack(grid, cut(fixed_seen, grid), cut(moving_seen, grid, start)))
        stacks = [stack for stack in stacks if len(stack.filled) > 0]
        registered_slices = sum(len(stack.filled) for stack in stacks)
        if not stacks:
            raise FusionError(
                "No slice shows both volumes after the pre-alignment; see that both show the same head and that their "
                "voxel sizes are right, or set another start."
            )
        head = head_mask(fixed_seen)
        whole = slice_grid(fixed, settings.slice_axis, network.metadata.size)
        seen_head = cut(head, whole) > 0.5
        if not seen_head.any():
            raise FusionError("No head stands out in the fixed volume; choose an MRI of one.")

    def running(before: int, of: int) -> Running:
        return Running(
            network,
            settings.batch_size,
            lambda done: stages.tell((before + done) / of, (before + done, of)),
            cancelled,
            device,  # as it is when this is called
        )

    with stages.run("registration"):
        evidence, done = [], 0
        for stack in stacks:
            told = register_slices(*stack.shown(), running(done, registered_slices), settings.refine)
            evidence.append(stack.evidence(told.mean, told.precision))
            warnings += told.remarks
            device, done = told.device, done + len(stack.filled)

    with stages.run("deformation"):
        sigma = [prior_sigma * stacks[0].grid.GetSpacing()[0]] * 3
        if len(axes) == 1:
            sigma[across] = max(settings.through_plane_smoothing, fixed.GetSpacing()[across])
        network_field = scaled(posterior_field(evidence, fixed, sigma), settings.strength)
        verdict = None
        if settings.do_no_harm:
            network_field, verdict = keep_what_helps(network_field, start, fixed_seen, moving_seen, across)
            warnings += filter(None, [verdict.remark()])
        network_field = fade_out(network_field)
        if settings.fold_free:
            network_field, damped = without_folds(network_field)
            if damped > 0:
                warnings.append(
                    f"The deformation folded space in places; it was damped there, by {damped:.1f} mm at most."
                )
        total_field = compose(network_field, start)
        field = within(total_field, fixed)

    with stages.run("fusion"):
        aligned = _Stack(whole, cut(fixed_seen, whole), cut(moving_seen, whole, joined(network_field, start)))
        fused_slices = np.maximum(aligned.fixed, aligned.moving)  # what an empty slice keeps
        if len(aligned.filled) > 0:
            through_network = fuse_slices(*aligned.shown(), running(0, len(aligned.filled)))
            fused_slices[aligned.filled], device = through_network.fused, through_network.device
            warnings += (remark for remark in through_network.remarks if remark not in warnings)

    with stages.run("volumes"):
        registered = resample_through(moving, field, _lowest(moving))
        fused = stacked(fused_slices, whole, fixed)
        if settings.modality != "ct":
            fused = _coloured(fused, registered, moving_intensities)

    with stages.run("report"):
        determinants = sitk.GetArrayFromImage(within(jacobian_determinant(total_field), fixed))
        inside = sitk.GetArrayViewFromImage(head) > 0
        shown = {
            "before": cut(moving_seen, whole),
            "prealigned": cut(moving_seen, whole, start),
            "after": aligned.moving,
        }
        information = {when: mutual_information(aligned.fixed[seen_head], shown[when][seen_head]) for when in shown}
        if information["after"] < information["prealigned"]:
            warnings.append(
                "The deformation lowered the mutual information, so it may have made the alignment worse than the "
                "start alone; compare before and after, or set the strength to 0."
            )
        report = Report(
            modality=settings.modality,
            prealignment=kind,
            slices=len(aligned.filled),
            axes=tuple("ijk"[axis] for axis in axes),
            verdict=verdict,
            mutual_information_before=information["before"],
            mutual_information_prealigned=information["prealigned"],
            mutual_information_after=information["after"],
            displacement=displacement_lengths(sitk.GetArrayViewFromImage(field)[inside]),
            network_displacement=displacement_lengths(sitk.GetArrayFromImage(within(network_field, fixed))[inside]),
            smallest_jacobian=float(determinants.min()),
            percent_folded=float(100 * np.mean(determinants <= 0)),
            device=str(device),
            weights=weights.name,
            weights_sha256=sha256(read_parts(weights)),
            seconds=stages.seconds,  # this stage's own go in when it ends
            warnings=tuple(warnings),
        )
    return Result(fused, registered, field, network_field, start, report)


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
        self._done += stage_shares[name]

    def tell(self, fraction: float, slices: Slices = None) -> None:
        """The fraction of the present stage that is done."""
        if self._progress is not None:
            self._progress(self._name, min(1.0, self._done + stage_shares[self._name] * fraction), slices)


def _given_start(settings: Settings) -> tuple[sitk.Transform, str]:
    """Where the moving volume is taken to lie at first, and the kind of pre-alignment."""
    if isinstance(settings.prealignment, sitk.Transform):
        return settings.prealignment, "given"
    return sitk.Transform(3, sitk.sitkIdentity), settings.prealignment


def _checked(
    fixed: sitk.Image, moving: sitk.Image, settings: Settings, start: sitk.Transform
) -> tuple[sitk.Image, sitk.Image, list[str]]:
    """Both volumes with finite values, and what the user should know of them; FusionError where they will not do."""
    warnings: list[str] = []
    volumes = []
    for image, role in ((fixed, "fixed"), (moving, "moving")):
        if image.GetDimension() != 3:
            raise FusionError(
                f"The {role} volume has {image.GetDimension()} dimensions and not 3; choose the one volume you mean."
            )
        if min(image.GetSize()) < 2:
            raise FusionError(f"The {role} volume has a single slice; choose a volume of two slices or more.")
        if not all(thinnest <= side <= thickest for side in image.GetSpacing()):
            sides = " x ".join(f"{side:.3g}" for side in image.GetSpacing())
            raise FusionError(f"A voxel of the {role} volume is said to be {sides} mm; mend its spacing.")
        axes = np.reshape(image.GetDirection(), (3, 3))
        if not (np.abs(axes) < 2).all() or abs(np.linalg.det(axes)) < flattest:
            raise FusionError(f"The axes of the {role} volume leave it no room, or no bounds; mend its directions.")
        components = image.GetNumberOfComponentsPerPixel()
        rgb = components == 3 and image.GetPixelID() == sitk.sitkVectorUInt8
        if components > 1 and not (rgb and role == "moving" and settings.modality != "ct"):
            raise FusionError(
                f"The {role} volume has {components} values a voxel where one is needed; convert it to a scalar volume "
                "first (a PET or SPECT may also be RGB of 8 bits)."
            )
        volumes.append(_finite(image, role, warnings))
    if _overlap(fixed, moving, start) == 0:
        raise FusionError(
            "The volumes do not overlap in space; lay one over the other (in Slicer: Transforms, or Center Volume) and "
            "try again."
        )
    return volumes[0], volumes[1], warnings


def _finite(image: sitk.Image, role: str, warnings: list[str]) -> sitk.Image:
    """The volume, voxels that are not finite set to the lowest of the others; FusionError where it shows nothing.

    One of `beyond_measure` or more counts as not finite: some programs put the largest number there is outside a body.
    """
    values = sitk.GetArrayViewFromImage(image)
    finite = np.abs(values) < beyond_measure
    if not finite.any():
        raise FusionError(f"The {role} volume has no voxel with a finite value; choose another.")
    lowest, highest = values[finite].min(), values[finite].max()
    if lowest == highest:
        raise FusionError(f"All voxels of the {role} volume have the same value; choose another.")
    if finite.all():
        return image
    warnings.append(
        f"{np.count_nonzero(~finite)} voxels of the {role} volume were not finite, or beyond 1e37; they count as its "
        "lowest."
    )
    mended = sitk.GetImageFromArray(np.where(finite, values, lowest))
    mended.CopyInformation(image)
    return mended


def _overlap(fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform) -> float:
    """The share of the fixed volume's box that the moving volume's covers, on a lattice of 16 points an axis."""
    lattice = sitk.Image([16] * 3, sitk.sitkUInt8)
    size = np.array(fixed.GetSize())
    lattice.SetSpacing((size * fixed.GetSpacing() / 16).tolist())
    lattice.SetDirection(fixed.GetDirection())
    lattice.SetOrigin(fixed.TransformContinuousIndexToPhysicalPoint(((size / 16 - 1) / 2).tolist()))
    covered = sitk.Image(moving.GetSize(), sitk.sitkUInt8) + 1
    covered.CopyInformation(moving)
    return float(sitk.GetArrayFromImage(sitk.Resample(covered, lattice, start, sitk.sitkNearestNeighbor)).mean())


@dataclass(frozen=True)
class _Stack:
    """Slices of both volumes on one grid, float32 (slice, row, column) in [0, 1]."""

    grid: sitk.Image
    fixed: np.ndarray
    moving: np.ndarray

    @cached_property
    def filled(self) -> np.ndarray:
        """Numbers of the slices in which both volumes show something."""
        return np.flatnonzero(_is_filled(self.fixed) & _is_filled(self.moving))

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        return self.fixed[self.filled], self.moving[self.filled]

    def evidence(self, mean: np.ndarray, precision: np.ndarray) -> SliceEvidence:
        """What the filled slices tell, as evidence of all of them."""
        spread = [np.zeros((len(self.fixed), *part.shape[1:]), np.float32) for part in (mean, precision)]
        spread[0][self.filled], spread[1][self.filled] = mean, precision
        return SliceEvidence(self.grid, *spread)


def _other_axes(fixed: sitk.Image, across: int, size: int) -> list[int]:
    """The other index axes whose slices, too, are fine enough in both directions to be looked at."""
    others = [axis for axis in range(3) if axis != across]
    pixels = [slice_grid(fixed, "ijk"[axis], size).GetSpacing()[0] for axis in others]
    return [axis for axis, pixel in zip(others, pixels, strict=True) if fixed.GetSpacing()[across] <= coarsest * pixel]


def _is_filled(slices: np.ndarray) -> np.ndarray:
    """Which slices (slice, row, column) show something."""
    return (slices > empty_level).mean(axis=(1, 2)) > empty_share


def _lowest(image: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(image).min())


def _coloured(fused: sitk.Image, registered: sitk.Image, intensities: Intensities) -> sitk.Image:
    """The fused luminance in the registered volume's colours (RGB of uint8).

    To keep Cb and Cr and replace Y is to add the difference in Y to red, green and blue alike (BT.601).
    """
    rgb = np.empty((*fused.GetSize()[::-1], 3), np.uint8)
    arrays = sitk.GetArrayViewFromImage(fused), sitk.GetArrayViewFromImage(registered)
    for out, luminance, values in zip(rgb, *arrays, strict=True):
        colour = intensities.colour(values[None])[0]
        change = luminance - colour @ luminance_weights
        out[:] = np.rint(255 * np.clip(colour + change[..., None], 0, 1))
    image = sitk.GetImageFromArray(rgb, isVector=True)
    image.CopyInformation(fused)
    return image
