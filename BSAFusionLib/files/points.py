"""Lists of points as Slicer's Markups module saves them: .mrk.json and .fcsv."""

import csv
import json
from pathlib import Path

import numpy as np

from BSAFusionLib.errors import FusionError

# Slicer writes the name or, in older .fcsv files, the number of a coordinate system.
TO_LPS = {"LPS": (1, 1, 1), "1": (1, 1, 1), "RAS": (-1, -1, 1), "0": (-1, -1, 1)}


def read_points(path: Path) -> np.ndarray:
    """Read the control points of a file that Slicer's Markups module saved.

    Args:
        path: A .mrk.json file, whose first list is taken, or a .fcsv file.

    Returns:
        The points in their order, (n, 3), mm, LPS.

    Raises:
        FusionError: The file holds no list of points, or one of them has no position yet.
    """
    try:
        points = _from_json(path) if path.suffix == ".json" else _from_fcsv(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise FusionError(
            f"The file {path} holds no list of points; give a .mrk.json or .fcsv file of Slicer's."
        ) from error
    if len(points) == 0 or not np.isfinite(points).all():
        raise FusionError(f"'{path.name}' has no points, or one that is not placed yet: place them all.")
    return points


def _from_json(path: Path) -> np.ndarray:
    markups = json.loads(path.read_text(encoding="utf-8"))["markups"][0]
    points = markups["controlPoints"]
    missing = [np.nan] * 3
    positions = [
        point["position"] if point.get("positionStatus", "defined") == "defined" else missing for point in points
    ]
    return _in_lps(positions, markups.get("coordinateSystem", "LPS"))


def _from_fcsv(path: Path) -> np.ndarray:
    system, positions = "LPS", []  # which Slicer takes where the file does not say
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or "Markups" not in lines[0]:
        raise ValueError("no file of Slicer's Markups")
    for line in lines:
        if line.startswith("#"):
            name, _, value = line.lstrip("# ").partition("=")
            system = value.strip() if name.strip() == "CoordinateSystem" else system
        elif line.strip():
            positions.append([float(word) for word in next(csv.reader([line]))[1:4]])
    return _in_lps(positions, system)


def _in_lps(positions: list[list[float]], system: str) -> np.ndarray:
    points = np.array(positions, dtype=float).reshape(-1, 3)
    return points * TO_LPS[str(system)]
