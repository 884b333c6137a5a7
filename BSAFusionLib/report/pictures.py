"""The arrays that a report's pictures are drawn from, and the file that they travel in."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from BSAFusionLib.report.overlay import RELATIVE, OverlayWindow, choose_error_window
from BSAFusionLib.report.units import unit_name


@dataclass(frozen=True)
class Plane:
    """A plane through the middle of the head as arrays of square pixels, rows and columns along two axes of LPS.

    Attributes:
        name: "Axial", "Coronal" or "Sagittal".
        fixed: values of the fixed volume (row, column); NaN outside.
        before: values of the moving volume as it was placed.
        after: values of the moving volume after registration.
        fused: the fused volume in [0, 1], (row, column), or (row, column, 3) for RGB; NaN outside.
        coordinates: where the network's field puts each pixel along the columns' and the rows' axis, mm
            (2, row, column).
        network_mm: length of that field.
        determinant: of the total transform's Jacobian.
        expected_error_mm: Expected length of the error; NaN outside the head and where it is not known.
    """

    name: str
    fixed: np.ndarray
    before: np.ndarray
    after: np.ndarray
    fused: np.ndarray
    coordinates: np.ndarray
    network_mm: np.ndarray
    determinant: np.ndarray
    expected_error_mm: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """What a report's pictures are drawn from.

    Attributes:
        planes: Axial, coronal, sagittal.
        total_mm: Lengths of the total displacement inside the head.
        network_mm: Lengths of the network's part of it.
        overlay: Window of the moving volume in overlays.
    """

    planes: tuple[Plane, ...]
    total_mm: np.ndarray
    network_mm: np.ndarray
    overlay: OverlayWindow

    def error_window(self) -> OverlayWindow:
        """Return the window of the expected error, in mm: from the smallest to the largest one in the planes."""
        return choose_error_window(np.concatenate([plane.expected_error_mm.ravel() for plane in self.planes]))

    def in_unit(self, unit: str | None) -> "Pictures":
        """Return the same pictures with the unit of the moving volume's values, where the values do not show another.

        Args:
            unit: As for `unit_name`; None or "" where it is not known. Shifted Hounsfield units and luminance stay.
        """
        if not unit or self.overlay.unit != RELATIVE:
            return self
        return replace(self, overlay=replace(self.overlay, unit=unit_name(unit)))

    def save(self, path: Path) -> None:
        """Write all arrays to one .npz file; it takes a few hundred kB."""
        arrays = {
            f"{number} {field.name}": getattr(plane, field.name)
            for number, plane in enumerate(self.planes)
            for field in fields(Plane)
        }
        window = {f"overlay {field.name}": getattr(self.overlay, field.name) for field in fields(OverlayWindow)}
        np.savez(path, total_mm=self.total_mm, network_mm=self.network_mm, **window, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Pictures":
        """Read what `save` wrote."""
        names = [field.name for field in fields(Plane)]
        with np.load(path) as arrays:
            count = sum(key.endswith(" name") for key in arrays.files)
            planes = [[arrays[f"{number} {name}"] for name in names] for number in range(count)]
            return cls(
                tuple(Plane(str(name), *values) for name, *values in planes),
                arrays["total_mm"],
                arrays["network_mm"],
                OverlayWindow(*(arrays[f"overlay {field.name}"].item() for field in fields(OverlayWindow))),
            )
