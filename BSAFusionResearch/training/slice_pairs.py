"""Load aligned slice pairs to train on, with whole patients held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from kornia.color import rgb_to_y

from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.metadata import SIDE_STEP_PX
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.atlas_colors import levels

FOLDS = 5


@dataclass(frozen=True)
class SlicePairs:
    """N aligned slice pairs.

    Attributes:
        fixed: MRI slices (N, 1, H, W), uint8.
        moving: Moving slices (N, 1, H, W), uint8, as they are registered: of colored slices, the levels that the colors
            stand for.
        shown: Moving slices (N, 1, H, W), uint8, as they are fused: of colored slices, their luminance.
        patient: Numbers of the patients (N,).
        modality: Names of the moving slices' modalities (N,).
        source: Number of the folder that each pair is from (N,).
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    shown: torch.Tensor
    patient: np.ndarray
    modality: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.fixed)

    def where(self, chosen: np.ndarray) -> "SlicePairs":
        """Return the pairs for which the boolean array (N,) is true."""
        rows = torch.from_numpy(chosen)
        slices = (stack[rows] for stack in (self.fixed, self.moving, self.shown))
        return SlicePairs(*slices, self.patient[chosen], self.modality[chosen], self.source[chosen])

    def draw(self, count: int) -> torch.Tensor:
        """Draw indices of pairs at random; every modality of every folder is equally likely, however many it has."""
        groups = np.char.add(self.modality, self.source.astype(str))
        _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        return torch.multinomial(torch.from_numpy(1 / sizes[index]), count, replacement=True)

    def batch(
        self, indices: torch.Tensor, device: torch.device, shown: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return chosen pairs as float32 (n, 1, H, W) in [0, 1].

        Args:
            indices: Which pairs, (n,).
            device: Where they are put.
            shown: Whether to take the moving slices as they are fused, not as they are registered.
        """
        chosen = (self.fixed, self.shown if shown else self.moving)
        return tuple(images[indices].to(device, torch.float32) / 255 for images in chosen)


def held_out_patients(patients: np.ndarray, fold: int = 0) -> list[int]:
    """Return every fifth patient in numerical order, beginning with number `fold`: 2 of 10, 1 of 3, 3 of 15."""
    return sorted(set(patients.tolist()))[fold::FOLDS]


def load_pairs(folders: Path | Sequence[Path], modality: str, fold: int | None = 0) -> tuple[SlicePairs, SlicePairs]:
    """Load the training and the validation pairs of one modality, or of all, from one folder or several.

    The training pairs belong to the published training set. Validation takes every slice of the fold's patients, and no
    patient number is in both. With "all", a patient held out for one modality is held out for every one, since numbers
    may name the same person.

    Args:
        folders: Hold `<modality>.npz` with `mri`, `moving`, `id` and `split`.
        modality: A name in `MODALITIES`, or "all" for those that have a file in the first folder.
        fold: The fold of patients to hold out, from 0; with None, all patients are trained on, and validation takes
            those of their slices that the published training set leaves out.

    Raises:
        FusionError: A file is missing or lacks an array, the fold has no patients, or no pairs are left to train on or
            to validate on, or the network cannot halve the slices four times.
    """
    folders = [Path(folders)] if isinstance(folders, str | Path) else list(folders)
    names = [modality]
    if modality == "all":
        names = [name for name in MODALITIES if (folders[0] / f"{name}.npz").is_file()] or list(MODALITIES)
    parts, published = zip(
        *(_all_pairs(folder, name, number) for number, folder in enumerate(folders) for name in names), strict=True
    )
    pairs = SlicePairs(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("fixed", "moving", "shown")),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("patient", "modality", "source")),
    )
    train = np.concatenate(published)
    if fold is None:
        validation = ~train
    else:
        validation = np.isin(pairs.patient, [p for part in parts for p in held_out_patients(part.patient, fold)])
        if not validation.any():
            raise FusionError(f"Fold {fold} holds out no patient of {modality}; choose a lower one.")
    training = train & ~validation
    if not (training.any() and validation.any()):
        raise FusionError(
            f"The slices in {' and '.join(map(str, folders))} leave none to train on, or none to validate on; mark "
            "some and not all as 'train' in `split`, and give slices of several patients."
        )
    return pairs.where(training), pairs.where(validation)


def record_of(fold: str, training: SlicePairs, validation: SlicePairs) -> dict[str, str | int | list[int]]:
    """Return the fold, the patients and the numbers of slices of a run, as its checkpoint records them."""
    return {
        "fold": fold,
        "patients_trained_on": sorted(set(training.patient.tolist())),
        "patients_validated_on": sorted(set(validation.patient.tolist())),
        "slices_trained_on": len(training),
        "slices_validated_on": len(validation),
    }


def _all_pairs(folder: Path, modality: str, source: int) -> tuple[SlicePairs, np.ndarray]:
    """Return all pairs of one modality in a folder, and which of them the published training set holds, bool (N,)."""
    arrays = read_arrays(folder / f"{modality}.npz", ("mri", "moving", "id", "split"))
    slices = arrays["moving"]
    rows, columns = arrays["mri"].shape[1:3]
    if rows % SIDE_STEP_PX or columns % SIDE_STEP_PX:
        raise FusionError(
            f"The slices in {folder / f'{modality}.npz'} have {columns} x {rows} pixels; pad or crop them to sides "
            f"that are multiples of {SIDE_STEP_PX}."
        )
    in_color = slices.ndim == 4
    moving = torch.from_numpy(levels(slices, modality) if in_color else slices)[:, None]
    pairs = SlicePairs(
        torch.from_numpy(arrays["mri"])[:, None],
        moving,
        luminance(torch.from_numpy(slices)) if in_color else moving,
        arrays["id"].astype(int) // 1000,
        np.full(len(slices), modality),
        np.full(len(slices), source),
    )
    return pairs, arrays["split"] == "train"


def luminance(rgb: torch.Tensor) -> torch.Tensor:
    """Convert RGB (N, H, W, 3), uint8, to its Y of YCbCr (ITU-R BT.601), (N, 1, H, W), uint8."""
    return (rgb_to_y(rgb.permute(0, 3, 1, 2).float() / 255) * 255).round().to(torch.uint8)
