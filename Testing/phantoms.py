"""Small volumes made by formula, for tests that need a head and not a patient."""

import numpy as np
import SimpleITK as sitk


def head(shift: float, slices: int = 10) -> sitk.Image:
    """An ellipsoid with some texture, of whole numbers below 1000, `shift` voxels of 4 mm to the left; int16."""
    z, y, x = np.mgrid[:slices, :48, :40]
    middle = slices / 2
    inside = ((z - middle) / middle) ** 2 + ((y - 24) / 18) ** 2 + ((x - 20 - shift) / 14) ** 2
    noise = np.random.default_rng(0).normal(0, 0.02, z.shape)
    image = sitk.GetImageFromArray(((np.clip(1 - inside, 0, 1) + (inside < 1) * (0.5 + noise)) * 600).astype(np.int16))
    image.SetSpacing((4.0, 4.0, 80 / slices))
    return image
