"""Prepare a run: check the volumes, load the network and convert the volumes to its input."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import SimpleITK as sitk

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.pipeline.calibration import Calibration, read_calibration
from BSAFusionLib.pipeline.fixed_mask import check_fixed_mask
from BSAFusionLib.pipeline.input_checks import check_volumes, no_overlap
from BSAFusionLib.pipeline.intensities import Intensities, guess_modality, in_color
from BSAFusionLib.pipeline.memory import check_memory
from BSAFusionLib.pipeline.network_input import NetworkInput, input_voxels, make_network_input
from BSAFusionLib.pipeline.progress import CancelCheck
from BSAFusionLib.pipeline.slicing import slice_axis
from BSAFusionLib.resources import MODELS
from BSAFusionLib.settings import AUTO, Settings

if TYPE_CHECKING:
    from BSAFusionLib.network.runner import Runner

BYTES_PER_VALUE = 4  # float32
# Said of a run that goes on: both heads were found, each in its own volume.
APART = (
    "The volumes do not overlap where their files place them, so they were brought together by the heads in them; "
    "check that both show the same person."
)
NETWORK_BYTES = 6e8  # of the network and the libraries


class LoadedNetwork(NamedTuple):
    """A network that is ready to run.

    Attributes:
        runner: Runs it on stacks of slices.
        size: Side of its slices in pixels.
        weights: The file it was loaded from.
        calibration: How far its evidence can be trusted; None where its card does not say.
    """

    runner: "Runner"
    size: int
    weights: Path
    calibration: Calibration | None = None


class Initialization(NamedTuple):
    """The transform from which registration goes on.

    Attributes:
        transform: Fixed point to moving point, mm, LPS.
        kind: "rigid", "none" or "given".
    """

    transform: sitk.Transform
    kind: str


@dataclass(frozen=True)
class Case:
    """A pair of volumes that can be registered, and all that is needed to do so.

    Attributes:
        fixed: The MRI.
        moving: The other volume.
        settings: The choices of this run, with the modality known.
        placement: The volumes as they are placed, or the transform that was given.
        network: The network.
        network_input: Both volumes as the network sees them.
        moving_intensities: How the moving volume's values became its input.
        warnings: What the user should know so far, a sentence each.
        overlap: Whether the volumes overlap by the placement.
        fixed_mask: 1 in the region that the rigid registration and the similarity look at, on the grid of the fixed
            network input; None for the whole head.
        details: Remarks that explain the run, a sentence each.
    """

    fixed: sitk.Image
    moving: sitk.Image
    settings: Settings
    placement: Initialization
    network: LoadedNetwork
    network_input: NetworkInput
    moving_intensities: Intensities
    warnings: tuple[str, ...]
    overlap: bool
    fixed_mask: sitk.Image | None = None
    details: tuple[str, ...] = ()


def prepare_case(
    fixed: sitk.Image,
    moving: sitk.Image,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    cancelled: CancelCheck | None = None,
    fixed_mask: sitk.Image | None = None,
) -> Case:
    """Check the volumes, load the network and convert the volumes to its input.

    Args:
        fixed: The MRI.
        moving: The other volume.
        settings: The choices of this run.
        progress: Called by the network with the number of slices done and of all.
        cancelled: Asked by the network before every batch.
        fixed_mask: A label map on any grid; None for the whole head.

    Raises:
        FusionError: The volumes cannot be registered, the mask is unusable, the weights or the device are missing, or
            memory is too small.
    """
    if settings.modality == AUTO:
        settings = replace(settings, modality=guess_modality(moving))
    placement = _placement(settings)
    volumes = check_volumes(fixed, moving, settings.modality, placement.transform)
    if not volumes.overlap and placement.kind != "rigid":
        raise no_overlap()
    network, network_warnings = _load_network(settings, progress, cancelled)
    check_memory(estimate_memory(volumes.fixed, volumes.moving, settings, network.size))
    network_input, moving_intensities, input_warnings = make_network_input(
        volumes.fixed, volumes.moving, settings, network.size
    )
    mask, details = check_fixed_mask(fixed_mask, network_input.fixed) if fixed_mask is not None else (None, ())
    apart = () if volumes.overlap else (APART,)
    warnings = (*volumes.warnings, *apart, *network_warnings, *input_warnings)
    return Case(
        volumes.fixed,
        volumes.moving,
        settings,
        placement,
        network,
        network_input,
        moving_intensities,
        warnings,
        volumes.overlap,
        mask,
        details,
    )


def estimate_memory(fixed: sitk.Image, moving: sitk.Image, settings: Settings, size: int) -> float:
    """Estimate the memory in bytes that a run needs beside the volumes: results, network input, slices and network.

    Args:
        fixed: The MRI.
        moving: The other volume.
        settings: The choices of this run.
        size: Side of the network's slices in pixels.
    """
    registered = moving.GetNumberOfComponentsPerPixel() * moving.GetSizeOfPixelComponent()
    fused = 3 if in_color(settings.modality) else BYTES_PER_VALUE
    results = fixed.GetNumberOfPixels() * (registered + fused)
    inputs = BYTES_PER_VALUE * sum(input_voxels(image, fixed, size) for image in (fixed, moving))
    slices = BYTES_PER_VALUE * size**2 * fixed.GetSize()[slice_axis(fixed, settings.slice_axis)]
    return float(results + 2 * inputs + 6 * slices + NETWORK_BYTES)


def _placement(settings: Settings) -> Initialization:
    """Return the transform by which the moving volume is placed before any registration, and the kind asked for.

    Raises:
        FusionError: A linear transform was given that mirrors or leaves no depth.
    """
    if isinstance(settings.prealignment, sitk.Transform):
        determinant = _determinant(settings.prealignment) if settings.prealignment.IsLinear() else 1.0
        if determinant <= 0:
            raise FusionError(
                f"The initial transform mirrors or leaves no depth (its determinant is {determinant:.3g}); give "
                "another, or correct the header of a volume that is mirrored."
            )
        return Initialization(settings.prealignment, "given")
    return Initialization(sitk.Transform(3, sitk.sitkIdentity), settings.prealignment)


def _determinant(transform: sitk.Transform) -> float:
    """Return the determinant of a linear transform's matrix."""
    axes = [transform.TransformVector(axis, (0.0, 0.0, 0.0)) for axis in np.eye(3).tolist()]
    return float(np.linalg.det(axes))


def _load_network(
    settings: Settings, progress: Callable[[int, int], None] | None, cancelled: CancelCheck | None
) -> tuple[LoadedNetwork, tuple[str, ...]]:
    """Load the network of the settings; warn if its weights were trained for another modality."""
    # Here, since torch takes seconds to import.
    from BSAFusionLib.network.devices import choose_device
    from BSAFusionLib.network.runner import Runner
    from BSAFusionLib.network.weights import load_inference_network, read_card

    weights = Path(settings.weights or MODELS / MODALITIES[settings.modality].weights)
    network = load_inference_network(weights, settings.precision)
    runner = Runner(network, choose_device(settings.device), settings.batch_size, progress, cancelled)
    calibration = read_calibration(read_card(weights), settings.modality)
    loaded = LoadedNetwork(runner, network.metadata.size, weights, calibration)
    trained_for = network.metadata.modality
    if trained_for in (settings.modality, "all"):
        return loaded, ()
    return loaded, (f"The weights {weights.name} were trained for {trained_for}, not for {settings.modality}.",)
