"""Register and fuse one pair of two-dimensional slices in PNG files, as the published program does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from BSAFusionLib.commands._progress import say
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.outputs import SLICES
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.settings import AUTO, Settings, options

if TYPE_CHECKING:
    import numpy as np

SIDE_PX = 16  # of which the network's slices have a multiple
FIELDS = ("device", "strength", "weights")  # of `Settings`, which apply to slices


class FusedSlices(NamedTuple):
    """A fused pair, uint8: (H, W), or (H, W, 3) where the moving slice is in color."""

    fused: "np.ndarray"
    registered: "np.ndarray"
    mean_displacement_px: float


def are_slices(*paths: Path) -> bool:
    """Tell whether all files are slices by their names."""
    return all(path.suffix.lower() == ".png" for path in paths)


def check_choices(choices: dict[str, Any]) -> None:
    """Check that no choice was made that slices cannot have.

    Raises:
        FusionError: One was.
    """
    for name, option in options().items():
        if name not in FIELDS and choices[name] != getattr(Settings, name):
            raise FusionError(f"{option.flag} does not apply to PNG slices; omit it.")


def run_slices(fixed: Path, moving: Path, modality: str, choices: dict[str, Any], folder: Path) -> FusedSlices:
    """Read two slices, register and fuse them, and write both results.

    Args:
        fixed: The MRI, a PNG of 8 bits.
        moving: The other slice, likewise, gray or in color, of the same size; it should lie roughly on the MRI.
        modality: A name in `MODALITIES`, or "auto" for the name of the file, else a PET in color and a CT in gray.
        choices: Fields of `Settings`, of which `FIELDS` count.
        folder: A folder of `written_whole`.

    Raises:
        FusionError: A file cannot be read or written, the sizes differ, or the weights do not load.
    """
    import SimpleITK as sitk

    from BSAFusionLib.files.volumes import write_volume

    mri, other = read_slice(fixed), read_slice(moving)
    if mri.ndim == 3:
        raise FusionError(f"{fixed} is in color; give the MRI first, in gray, and the other slice second.")
    if mri.shape != other.shape[:2]:
        raise FusionError(f"The slices differ in size, {mri.shape[::-1]} and {other.shape[1::-1]}; bring both to one.")
    if modality == AUTO:
        modality = _guessed(moving, in_color=other.ndim == 3)
    result = fuse_slices(mri, other, modality, choices)
    for name, values in zip(SLICES, result[:2], strict=True):
        write_volume(sitk.GetImageFromArray(values, isVector=values.ndim == 3), folder / name)
    return result


def fuse_slices(mri: "np.ndarray", moving: "np.ndarray", modality: str, choices: dict[str, Any]) -> FusedSlices:
    """Register and fuse two slices; of colors the luminance is registered and fused, and Cb and Cr are kept.

    Args:
        mri: (H, W), uint8.
        moving: (H, W) or (H, W, 3), uint8.
        modality: A name in `MODALITIES`.
        choices: Fields of `Settings`.
    """
    import numpy as np
    import torch

    from BSAFusionLib.network.devices import choose_device
    from BSAFusionLib.network.weights import load_network
    from BSAFusionLib.pipeline.color import with_luminance
    from BSAFusionLib.pipeline.intensities import LUMINANCE_WEIGHTS
    from BSAFusionLib.resources import MODELS

    height, width = mri.shape
    device = choose_device(choices["device"])
    network = load_network(choices["weights"] or MODELS / MODALITIES[modality].weights, device)
    channels = moving.reshape(height, width, -1) / 255.0
    luminance = channels @ LUMINANCE_WEIGHTS if channels.shape[2] == 3 else channels[..., 0]

    def batch(values: "np.ndarray") -> torch.Tensor:
        """Return (H, W) or (H, W, C) in [0, 1] as (1, C, H, W), filled up with black to what the network takes."""
        values = np.pad(values.reshape(height, width, -1), ((0, -height % SIDE_PX), (0, -width % SIDE_PX), (0, 0)))
        return torch.from_numpy(values).permute(2, 0, 1)[None].to(device, torch.float32)

    with torch.no_grad():
        output = network(batch(mri / 255.0), batch(luminance), True, choices["strength"])
        warped = network.warp(batch(channels), output.field)
    fused, registered = (
        part[0].permute(1, 2, 0).double().cpu().numpy()[:height, :width] for part in (output.fused, warped)
    )
    if registered.shape[2] == 3:
        fused = with_luminance(registered, fused[..., 0])
    gray = registered.shape[2] == 1
    fused, registered = (
        np.rint(255 * np.clip(part[..., 0] if gray else part, 0, 1)).astype(np.uint8) for part in (fused, registered)
    )
    return FusedSlices(fused, registered, float(output.field[0, :, :height, :width].norm(dim=0).mean()))


def read_slice(path: Path) -> "np.ndarray":
    """Read a PNG of 8 bits: (H, W) where it is gray, whatever its channels, else (H, W, 3).

    Raises:
        FusionError: It cannot be read, or has more bits.
    """
    import numpy as np
    import SimpleITK as sitk

    from BSAFusionLib.files.paths import readable_by_itk

    try:
        with readable_by_itk(path) as name:
            values = sitk.GetArrayFromImage(sitk.ReadImage(name))
    except RuntimeError as error:
        raise FusionError(f"{path} cannot be read as a PNG; give a whole one.") from error
    if values.dtype != np.uint8:
        raise FusionError(f"{path} has {values.dtype} values; convert it to 8 bits.")
    channels = values.reshape(*values.shape[:2], -1)
    channels = channels[..., : 3 if channels.shape[-1] > 2 else 1]  # without the opacity
    return channels[..., 0] if (channels == channels[..., :1]).all() else channels


def _guessed(path: Path, in_color: bool) -> str:
    from BSAFusionLib.files.stated_modality import named_modality

    modality = named_modality(path) or ("pet" if in_color else "ct")
    say(f"{path.name} was taken for a {MODALITIES[modality].label}; if it is none, give --modality.")
    return modality
