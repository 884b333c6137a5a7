"""Aligned slice pairs to train on, with whole patients held out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from kornia.color import rgb_to_y

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.training.arrays import read_arrays
from BSAFusionResearch.training.atlas_colours import levels

MODALITIES = ("ct", "pet", "spect")
FOLDS = 5


@dataclass(frozen=True)
class SlicePairs:
    """Aligned pairs: `fixed`, `moving` and `shown` (N, 1, H, W) uint8; the moving slice comes in two ways.

    Where it has colour, `moving` is what the colours stand for, which is what is registered, and `shown` is their
    luminance, which is what is fused; elsewhere they are the same. `patient` and `modality` (N,) say whose and which
    they are.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    shown: torch.Tensor
    patient: np.ndarray
    modality: np.ndarray

    def __len__(self) -> int:
        return len(self.fixed)

    def where(self, chosen: np.ndarray) -> "SlicePairs":
        """Those pairs for which the boolean array (N,) is true."""
        rows = torch.from_numpy(chosen)
        slices = (each[rows] for each in (self.fixed, self.moving, self.shown))
        return SlicePairs(*slices, self.patient[chosen], self.modality[chosen])

    def draw(self, count: int) -> torch.Tensor:
        """Indices of pairs at random, every modality as likely as the others, however many pairs it has."""
        _, index, sizes = np.unique(self.modality, return_inverse=True, return_counts=True)
        return torch.multinomial(torch.from_numpy(1 / sizes[index]), count, replacement=True)

    def batch(
        self, indices: torch.Tensor, device: torch.device, shown: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The chosen pairs as float32 (n, 1, H, W) in [0, 1] on `device`, moving ones as registered or `shown`."""
        chosen = (self.fixed, self.shown if shown else self.moving)
        return tuple(images[indices].to(device, torch.float32) / 255 for images in chosen)


def held_out_patients(patients: np.ndarray, fold: int = 0) -> list[int]:
    """Every fifth patient in numerical order, the fold's first: 2 of 10 for CT, 1 of 3 for PET, 3 of 15 for SPECT."""
    return sorted(set(patients.tolist()))[fold::FOLDS]


def load_pairs(folder: Path, modality: str, fold: int | None = 0) -> tuple[SlicePairs, SlicePairs]:
    """Training and validation pairs of one modality, or of "all".

    The training pairs are of the published training set; validation takes every slice of the fold's patients, and no
    patient number is in both. With "all", a patient held out for one modality is held out for each, since numbers may
    name the same person. Without a fold all patients are trained on, and validation takes those of their slices that
    the published training set leaves out.

    Raises:
        FusionError: a file `<modality>.npz` is not in the folder or lacks something, the fold has no patients, or no
            pairs are left to train on or to validate on.
    """
    fixed, moving, shown, patients, modalities, published, held_out = [], [], [], [], [], [], []
    for name in MODALITIES if modality == "all" else (modality,):
        arrays = read_arrays(Path(folder) / f"{name}.npz", ("mri", "moving", "id", "split"))
        slices = arrays["moving"]
        fixed.append(torch.from_numpy(arrays["mri"])[:, None])
        patients.append(arrays["id"].astype(int) // 1000)
        published.append(arrays["split"] == "train")
        modalities.append(np.full(len(slices), name))
        in_colour = slices.ndim == 4
        moving.append(torch.from_numpy(levels(slices, name) if in_colour else slices)[:, None])
        shown.append(luminance(torch.from_numpy(slices)) if in_colour else moving[-1])
        held_out += [] if fold is None else held_out_patients(patients[-1], fold)
    slices = (torch.cat(each) for each in (fixed, moving, shown))
    pairs = SlicePairs(*slices, np.concatenate(patients), np.concatenate(modalities))
    train = np.concatenate(published)
    validation = ~train if fold is None else np.isin(pairs.patient, held_out)
    if fold is not None and not validation.any():
        raise FusionError(f"Fold {fold} holds out no patient of {modality}; choose a lower one.")
    training = train & ~validation
    if not (training.any() and validation.any()):
        raise FusionError(
            f"The slices in {folder} leave none to train on, or none to validate on; see that `split` says 'train' of "
            "some and not of others, and that there are several patients."
        )
    return pairs.where(training), pairs.where(validation)


def luminance(rgb: torch.Tensor) -> torch.Tensor:
    """RGB (N, H, W, 3) uint8 to its Y of YCbCr (BT.601), (N, 1, H, W) uint8."""
    return (rgb_to_y(rgb.permute(0, 3, 1, 2).float() / 255) * 255).round().to(torch.uint8)
