"""Labeled heads as fractions of tissue on a coarse grid, and the standard head that they are aligned to."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from BSAFusionLib.geometry.similarity import Similarity, fit_similarity
from BSAFusionResearch.simulation.heads import TRAINING_HEADS, head_files
from BSAFusionResearch.simulation.tissues import BRAIN_CODES, FILE_CODES

STANDARD_FILE = Path(__file__).parent / "standard_head.npy"
CODES = len(FILE_CODES)
LANDMARK_CODES = (2, 4, 5, 6, 7, 9, 10, 13, 14, 20)
SPACING_MM = 4.0
PADDING_MM = 12  # of air around a head, at least


@dataclass(frozen=True)
class Head:
    """One labeled head.

    Attributes:
        fractions: (28, D, H, W) share of each code in cells of 4 mm, float32.
        origin: (3,) center of the first cell, (x, y, z) in mm LPS.
        to_standard: similarity from this head's points to the standard head's.
    """

    fractions: torch.Tensor
    origin: np.ndarray
    to_standard: Similarity


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map of 1 mm.

    Returns:
        Codes (D, H, W) and the first voxel's center (x, y, z) in mm LPS.
    """
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    return sitk.GetArrayFromImage(image), np.array(image.GetOrigin())


def fractions_of(codes: np.ndarray, origin: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Return the share of each code in cells of 4 mm, and the first cell's center.

    Air is added around the head, except below it, where the neck goes on.
    """
    side = int(SPACING_MM)
    pad = [(0, (-codes.shape[0]) % side + PADDING_MM)]
    pad += [(PADDING_MM, (-size - PADDING_MM) % side + PADDING_MM) for size in codes.shape[1:]]
    padded = torch.from_numpy(np.pad(codes, pad))
    planes = [F.avg_pool3d((padded == code).to(torch.float32)[None], side)[0] for code in range(CODES)]
    first = origin - [PADDING_MM, PADDING_MM, 0] + (side - 1) / 2
    return torch.stack(planes), first


def landmarks_of(codes: np.ndarray, origin: np.ndarray, to_standard: Similarity) -> np.ndarray:
    """Return centroids of the landmark structures, left and right of the standard head's middle.

    Returns:
        (structures, 2, 3) points of this head, mm LPS: right halves (x below 0) first.
    """
    found = []
    for code in LANDMARK_CODES:
        points = np.argwhere(codes == code)[:, ::-1] + origin
        left = to_standard(points)[:, 0] > 0
        found.append([points[~left].mean(0), points[left].mean(0)])
    return np.array(found)


def make_standard_head(folder: Path, numbers: tuple[str, ...] = TRAINING_HEADS, rounds: int = 6) -> np.ndarray:
    """Average the landmarks of heads by generalized Procrustes analysis with scale, symmetric in x.

    Returns:
        (structures, 2, 3) points, mm LPS; the heads' mean brain centroid is the origin. Gower, Psychometrika 1975.
    """
    heads = [read_labels(path) for path in head_files(folder, numbers)]
    centers = [brain_center(*head) for head in heads]
    maps = [Similarity(np.eye(3), 1.0, -center) for center in centers]
    standard = np.zeros(0)
    for _ in range(rounds):
        points = [landmarks_of(*head, to_standard) for head, to_standard in zip(heads, maps, strict=True)]
        if not standard.size:
            standard = symmetric(np.mean([m(p.reshape(-1, 3)) for m, p in zip(maps, points, strict=True)], 0))
        maps = [fit_similarity(p.reshape(-1, 3), standard) for p in points]
        log_scale = np.mean([np.log(m.scale) for m in maps])  # the mean size of the heads is kept
        mean = np.mean([m(p.reshape(-1, 3)) for m, p in zip(maps, points, strict=True)], 0) / np.exp(log_scale)
        standard = symmetric(mean)
        maps = [fit_similarity(p.reshape(-1, 3), standard) for p in points]
        center = np.mean([m(c[None])[0] for m, c in zip(maps, centers, strict=True)], 0) * [0, 1, 1]
        standard = standard - center
        maps = [Similarity(m.rotation, m.scale, m.shift - center) for m in maps]
    return standard.reshape(-1, 2, 3)


def symmetric(points: np.ndarray) -> np.ndarray:
    """Average (structures * 2, 3) points with their mirror image."""
    pairs = points.reshape(-1, 2, 3)
    return ((pairs + pairs[:, ::-1] * [-1, 1, 1]) / 2).reshape(-1, 3)


def brain_center(codes: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return the brain's centroid, (x, y, z) in mm LPS."""
    return np.argwhere(np.isin(codes, BRAIN_CODES))[:, ::-1].mean(0) + origin


def fit_to_standard(codes: np.ndarray, origin: np.ndarray, standard: np.ndarray, rounds: int = 4) -> Similarity:
    """Fit the similarity from a head's points to the standard head's, splitting left from right again in each round."""
    to_standard = Similarity(np.eye(3), 1.0, -brain_center(codes, origin))
    for _ in range(rounds):
        to_standard = fit_similarity(landmarks_of(codes, origin, to_standard).reshape(-1, 3), standard.reshape(-1, 3))
    return to_standard


@lru_cache(maxsize=32)
def load_head(path: Path, standard_file: Path) -> Head:
    """Read a labeled head and align it to the standard head."""
    codes, origin = read_labels(path)
    fractions, first = fractions_of(codes, origin)
    return Head(fractions, first, fit_to_standard(codes, origin, np.load(standard_file)))
