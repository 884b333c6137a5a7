"""Convert slice pairs in the published folder layout, MRI/*.png beside CT, PET or SPECT, for `train` to learn from."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._slices import read_slice
from BSAFusionLib.errors import FusionError
from BSAFusionLib.modalities import MODALITIES, MRI, listed

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "train",
        type=Path,
        metavar="FOLDER",
        help="slices to train on: a folder MRI and a folder CT, PET or SPECT with files of the same names, which are "
        "the patient's number and three digits for the slice, such as 16003.png",
    )
    parser.add_argument(
        "--test", type=Path, metavar="FOLDER", help="slices in the same layout that are left out of training"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for <modality>.npz")


def run(arguments: argparse.Namespace) -> int:
    """Write `<modality>.npz` and return 0.

    Raises:
        FusionError: A folder lacks files, or they do not belong together.
    """
    import numpy as np

    from BSAFusionLib.files.atomic import written_whole
    from BSAFusionLib.files.overwriting import refuse_overwriting

    folders = [folder for folder in (arguments.train, arguments.test) if folder is not None]
    modality = _modality(folders)
    target = arguments.out / f"{modality}.npz"
    refuse_overwriting((path for folder in folders for path in folder.rglob("*.png")), [target])
    rows = [(*pair, split) for folder, split in zip(folders, SPLITS, strict=False) for pair in _pairs(folder, modality)]
    if len({mri.shape for _, mri, _, _ in rows}) > 1:
        raise FusionError("The slices differ in size; bring all to one size.")
    numbers, mris, movings, splits = (np.array(column) for column in zip(*rows, strict=True))
    with written_whole(arguments.out) as unfinished:
        np.savez_compressed(unfinished / target.name, mri=mris, moving=movings, id=numbers, split=splits)
    counts = ", ".join(f"{(splits == split).sum()} to {split}" for split in SPLITS)
    print(
        f"{target}: {len(rows)} slice pairs ({counts}) of {len({int(number) // 1000 for number in numbers})} patients"
    )
    return 0


def _modality(folders: list[Path]) -> str:
    """Return the one modality that every folder has a folder of."""
    there = [{path.name.lower() for path in folder.iterdir()} if folder.is_dir() else set() for folder in folders]
    common = [name for name in MODALITIES if all(name in names for names in there)]
    if len(common) != 1 or not all(MRI in names for names in there):
        raise FusionError(
            f"{' and '.join(map(str, folders))} must hold a folder MRI and one folder {listed()}; name the folder "
            "above them."
        )
    return common[0]


def _pairs(folder: Path, modality: str) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Return number, MRI (H, W) and moving slice of every pair, uint8; colored ones are (H, W, 3).

    Raises:
        FusionError: A file lacks its partner, is damaged, or has a name without a number.
    """
    files = {
        path.name.lower(): {file.name: file for file in path.glob("*.png")}
        for path in folder.iterdir()
        if path.is_dir()
    }
    if single := sorted(files[MRI].keys() ^ files[modality].keys()):
        raise FusionError(f"{folder}: {single[0]} is in one of the two folders only; add its partner or remove it.")
    pairs = []
    for name, mri in sorted(files[MRI].items()):
        if not (mri.stem.isdigit() and len(mri.stem) > 3):
            raise FusionError(f"{mri}: the name must be the patient's number and three digits, such as 16003.png.")
        fixed, moving = _slice(mri, color=False), _slice(files[modality][name], MODALITIES[modality].in_color)
        if fixed.shape != moving.shape[:2]:
            raise FusionError(f"{mri} and its partner differ in size; bring both to one size.")
        pairs.append((mri.stem, fixed, moving))
    if not pairs:
        raise FusionError(f"{folder} holds no PNG files in its folders; name another.")
    return pairs


def _slice(path: Path, color: bool) -> "np.ndarray":
    """Read a PNG as uint8: (H, W), or (H, W, 3) where color is wanted."""
    import numpy as np

    values = read_slice(path)
    if values.ndim == 3 and not color:
        raise FusionError(f"{path} is in color; a gray slice is wanted here.")
    return np.repeat(values[..., None], 3, axis=2) if color and values.ndim == 2 else values
