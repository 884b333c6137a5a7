"""Write files whose headers are wrong or bare, as no library writes them on purpose."""

import gzip
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

# Byte offset and struct format of fields, as nifti1.h places them.
FIELDS = {
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quaternion": (256, "3f"),
    "qform_offset": (268, "3f"),
    "sform": (280, "12f"),
    "magic": (344, "4s"),
}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def write_nifti(image: sitk.Image, path: Path, **fields: object) -> Path:
    """Write an uncompressed NIfTI-1 file, then overwrite fields of its header.

    Args:
        image: The volume.
        path: Ends in .nii.
        **fields: Values of `FIELDS`; several of them as a sequence.

    Returns:
        The path.
    """
    sitk.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        offset, layout = FIELDS[name]
        struct.pack_into(f"<{layout}", content, offset, *(value if isinstance(value, list | tuple) else [value]))
    path.write_bytes(content)
    return path


def write_nrrd_without_space(image: sitk.Image, path: Path) -> Path:
    """Write a NRRD file that has spacings, but no space to lie in."""
    header = (
        f"NRRD0004\ntype: float\ndimension: 3\nsizes: {' '.join(map(str, image.GetSize()))}\n"
        f"spacings: {' '.join(map(str, image.GetSpacing()))}\nendian: little\nencoding: raw\n\n"
    )
    voxels = sitk.GetArrayFromImage(image).astype("<f4")
    path.write_bytes(header.encode() + voxels.tobytes())
    return path


def sform_of(image: sitk.Image, shear: float = 0.0) -> list[float]:
    """Return the sform of an image, in RAS, whose slices are shifted along y by a shear.

    Args:
        image: Gives origin, spacing and direction.
        shear: Shift along y, LPS, for each mm along the slices' axis.
    """
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    axes[1, 2] += shear * image.GetSpacing()[2]
    return (LPS_TO_RAS @ np.column_stack([axes, image.GetOrigin()])).ravel().tolist()


def sheared(image: sitk.Image, shear: float) -> sitk.Image:
    """Resample an upright volume on a grid whose slices are shifted along y, returned with its upright header.

    The voxels are right with the sform of `sform_of`.
    """
    depth = image.GetSize()[2]
    shift = shear * image.GetSpacing()[2]
    slices = []
    for number in range(depth):
        part = image[:, :, number : number + 1]
        origin = np.add(part.GetOrigin(), [0.0, shift * number, 0.0])
        lowest = float(sitk.GetArrayViewFromImage(image).min())
        moved = sitk.Resample(
            image,
            part.GetSize(),
            sitk.Transform(),
            sitk.sitkLinear,
            origin.tolist(),
            part.GetSpacing(),
            part.GetDirection(),
            lowest,
            image.GetPixelID(),
        )
        slices.append(sitk.GetArrayFromImage(moved)[0])
    result = sitk.GetImageFromArray(np.stack(slices))
    result.CopyInformation(image)
    return result


def pack(path: Path, packed: Path) -> Path:
    """Write a file compressed by gzip under another name, and return that."""
    packed.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1))
    return packed


def write_nifti_2(image: sitk.Image, path: Path) -> Path:
    """Write an uncompressed NIfTI-2 file of float32, after nifti2.h."""
    voxels = sitk.GetArrayFromImage(image).astype("<f4")
    header = bytearray(544)
    struct.pack_into("<i8shh", header, 0, 540, b"n+2\0\r\n\x1a\n", 16, 32)
    struct.pack_into("<8q", header, 16, 3, *image.GetSize(), 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1.0, *image.GetSpacing(), 1.0, 1.0, 1.0, 1.0)
    struct.pack_into("<q2d", header, 168, 544, 1.0, 0.0)  # where the voxels begin, slope, intercept
    struct.pack_into("<2i", header, 344, 0, 1)  # qform_code, sform_code
    struct.pack_into("<12d", header, 400, *sform_of(image))
    struct.pack_into("<i", header, 500, 2)  # the unit is mm
    path.write_bytes(bytes(header) + voxels.tobytes())
    return path
