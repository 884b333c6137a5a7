"""A volume as an array with its place in space, in memory or in a file, without SimpleITK."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie, as SimpleITK would say it.

    Attributes:
        voxels: (slice, row, column), or (slice, row, column, component); possibly a view of somebody else's memory.
        origin: center of the first voxel, mm, LPS.
        spacing: distance of columns, rows and slices, mm.
        direction: 3 x 3 matrix, row by row, whose columns are the directions of column, row and slice index, LPS.
        owner: whatever must live as long as the voxels are read.
    """

    voxels: np.ndarray
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    owner: Any = None

    @classmethod
    def of(cls, image: "sitk.Image") -> "Volume":
        """View an image; its voxels are not copied."""
        import SimpleITK as sitk  # here, since Slicer's own process does without it

        voxels = sitk.GetArrayViewFromImage(image)
        return cls(voxels, image.GetOrigin(), image.GetSpacing(), image.GetDirection(), image)

    def image(self) -> "sitk.Image":
        """Copy the volume into an image, a vector image where there are components."""
        import SimpleITK as sitk

        native = self.voxels.astype(self.voxels.dtype.newbyteorder("="), copy=False)
        image = sitk.GetImageFromArray(native, isVector=native.ndim == 4)
        image.SetOrigin(self.origin)
        image.SetSpacing(self.spacing)
        image.SetDirection(self.direction)
        return image

    def save(self, path: Path) -> dict[str, Any]:
        """Write the voxels to a .npy file, and return a header, ready for JSON, that says where they lie.

        The file is written, not mapped: on a full disk a mapped file ends the process that writes to it.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        np.save(path, self.voxels, allow_pickle=False)
        return {
            "file": path.name,
            "origin": [float(part) for part in self.origin],
            "spacing": [float(part) for part in self.spacing],
            "direction": [float(part) for part in self.direction],
        }

    @classmethod
    def load(cls, header: dict[str, Any], folder: Path) -> "Volume":
        """Map a file that `save` wrote into memory.

        Raises:
            OSError: the file is gone.
            ValueError: the file is cut short.
        """
        voxels = np.load(folder / header["file"], mmap_mode="r", allow_pickle=False)
        return cls(voxels, *(tuple(header[key]) for key in ("origin", "spacing", "direction")))
