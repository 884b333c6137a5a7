"""Read the activity that the colors of the Whole Brain Atlas's PET and SPECT slices stand for.

The atlas's color maps are straight lines between the points in the training files. They were read off its slices, whose
colors lie on these lines side by side: 128 for PET, 92 for SPECT.
"""

import numpy as np
import torch

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.training.traits import traits_of

COLOR_CODES = np.array([65536, 256, 1], np.int32)  # red, green and blue as one number


def levels(rgb: np.ndarray, modality: str) -> np.ndarray:
    """Return the level that each color stands for, by the nearest color of the modality's map.

    Luminance is no substitute: in PET's map it is highest for the yellow in the middle and falls from there to the red,
    and no PET in a scanner's own units has such rims.

    Args:
        rgb: Colors (..., 3), uint8.
        modality: One whose training file has atlas colors.

    Returns:
        Levels (...), uint8, from 0 to 255.

    Raises:
        FusionError: The training file names no atlas colors.
    """
    colors = traits_of(modality).atlas_colors
    if colors is None:
        raise FusionError(
            f"The {modality} slices are in color, but their training file has no atlas_colors; add them, or give gray "
            "slices."
        )
    points = np.array(colors, float)
    shares = np.arange(256) / 255
    on_map = np.stack([np.interp(shares * points[-1, 0], points[:, 0], points[:, c]) for c in (1, 2, 3)], axis=1)
    codes = rgb.astype(np.int32) @ COLOR_CODES
    different = np.flatnonzero(np.bincount(codes.ravel()))
    in_slices = np.stack([different >> 16, different >> 8 & 255, different & 255], axis=1)
    nearest = torch.cdist(torch.from_numpy(in_slices.astype(float)), torch.from_numpy(on_map)).argmin(dim=1)
    level_of_code = np.zeros(2**24, np.uint8)
    level_of_code[different] = nearest.numpy()
    return level_of_code[codes]
