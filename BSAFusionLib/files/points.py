"""Lists of points as Slicer's Markups module saves them: .mrk.json and .fcsv."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.paths import require_file
from BSAFusionLib.files.volumes import write_bytes

# Slicer writes the name or, in older .fcsv files, the number of a coordinate system.
TO_LPS = {"LPS": (1, 1, 1), "1": (1, 1, 1), "RAS": (-1, -1, 1), "0": (-1, -1, 1)}
POINT_TYPES = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")  # markups that their points describe wholly
POINT_SUFFIXES = (".mrk.json", ".fcsv")


def read_points(path: Path) -> np.ndarray:
    """Read the control points of a file that Slicer's Markups module saved.

    Args:
        path: A .mrk.json file, whose first list is taken, or a .fcsv file.

    Returns:
        The points in their order, (n, 3), mm, LPS.

    Raises:
        FusionError: There is no such file, it holds no list of points, or one of them has no position yet.
    """
    require_file(path)
    try:
        points = _from_json(path) if path.suffix.lower() == ".json" else _from_fcsv(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise FusionError(
            f"The file {path} holds no list of points; give a .mrk.json or .fcsv file of Slicer's."
        ) from error
    if len(points) == 0 or not np.isfinite(points).all():
        raise FusionError(f"'{path.name}' has no points, or one that is not placed yet: place them all.")
    return points


def move_points(path: Path, result: Path, move: Callable[[np.ndarray], np.ndarray]) -> None:
    """Move all points of a file that Slicer's Markups module saved, and keep the rest of the file.

    Args:
        path: A .mrk.json or .fcsv file.
        result: File of the same kind.
        move: Carries points (n, 3), mm, LPS.

    Raises:
        FusionError: There is no such file, it holds no points, or markups that are more than points, or the result
            cannot be written.
    """
    require_file(path)
    try:
        content = _moved_json(path, move) if path.suffix.lower() == ".json" else _moved_fcsv(path, move)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise FusionError(
            f"The file {path} holds no list of points; give a .mrk.json or .fcsv file of Slicer's."
        ) from error
    write_bytes(content.encode(), result)


def _moved_json(path: Path, move: Callable[[np.ndarray], np.ndarray]) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    for markups in content["markups"]:
        if markups["type"] not in POINT_TYPES:
            raise FusionError(
                f"The file {path} holds a markup of type {markups['type']}, which is more than its points; give point "
                "lists, lines, angles or curves."
            )
        placed = [point for point in markups["controlPoints"] if point.get("positionStatus", "defined") == "defined"]
        system = markups.get("coordinateSystem", "LPS")
        points = move(_in_lps([point["position"] for point in placed], system)) * TO_LPS[str(system)]
        for point, position in zip(placed, points.tolist(), strict=True):
            point["position"] = position
    return json.dumps(content, indent=4) + "\n"


def _moved_fcsv(path: Path, move: Callable[[np.ndarray], np.ndarray]) -> str:
    points = iter(move(_from_fcsv(path)) * TO_LPS[_fcsv_system(path)])
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, *rest = next(csv.reader([line]))
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow([name, *map(repr, next(points).tolist()), *rest[3:]])
            line = text.getvalue()
        lines.append(line)
    return "\n".join(lines) + "\n"


def _from_json(path: Path) -> np.ndarray:
    markups = json.loads(path.read_text(encoding="utf-8"))["markups"][0]
    points = markups["controlPoints"]
    missing = [np.nan] * 3
    positions = [
        point["position"] if point.get("positionStatus", "defined") == "defined" else missing for point in points
    ]
    return _in_lps(positions, markups.get("coordinateSystem", "LPS"))


def _from_fcsv(path: Path) -> np.ndarray:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or "Markups" not in lines[0]:
        raise ValueError("no file of Slicer's Markups")
    rows = [next(csv.reader([line])) for line in lines if line.strip() and not line.startswith("#")]
    return _in_lps([[float(word) for word in row[1:4]] for row in rows], _fcsv_system(path))


def _fcsv_system(path: Path) -> str:
    """Return the coordinate system that a .fcsv file names, else LPS, which Slicer takes there."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if line.startswith("#") and name.strip() == "CoordinateSystem":
            return value.strip()
    return "LPS"


def _in_lps(positions: list[list[float]], system: str) -> np.ndarray:
    points = np.array(positions, dtype=float).reshape(-1, 3)
    return points * TO_LPS[str(system)]
