"""What the colours of the Whole Brain Atlas's PET and SPECT slices stand for."""

import numpy as np
import torch

# Level of activity, then red, green, blue: the atlas's colour maps are straight lines between these points. Read off
# its slices, whose colours lie on them one beside the other: 128 for PET, 92 for SPECT.
colour_maps = {
    "pet": [(0, 0, 0, 0), (15, 0, 0, 123), (31, 0, 85, 255), (63, 255, 255, 0), (95, 255, 0, 0), (127, 255, 0, 255)],
    "spect": [(0, 0, 0, 0), (13.6, 42, 72, 75), (33.5, 83, 0, 144), (52.8, 190, 90, 121), (74.2, 255, 114, 0)]
    + [(91, 255, 222, 255)],
}


def levels(rgb: np.ndarray, modality: str) -> np.ndarray:
    """The levels (...), uint8 from 0 to 255, that colours (..., 3) uint8 stand for: those of the map's nearest colours.

    Luminance will not do in their place: it is highest for the yellow in the middle of PET's map and falls from there
    to its red, and no PET in a scanner's own units has such rims.
    """
    points = np.array(colour_maps[modality], float)
    shares = np.arange(256) / 255
    colours = np.stack([np.interp(shares * points[-1, 0], points[:, 0], points[:, c]) for c in (1, 2, 3)], axis=1)
    codes = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    different = np.flatnonzero(np.bincount(codes.ravel()))
    there = np.stack([different >> 16, different >> 8 & 255, different & 255], axis=1)
    nearest = torch.cdist(torch.from_numpy(there.astype(float)), torch.from_numpy(colours)).argmin(dim=1)
    level_of_code = np.zeros(2**24, np.uint8)
    level_of_code[different] = nearest.numpy()
    return level_of_code[codes]
