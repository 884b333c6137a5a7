"""Cut aligned slices from simulated patients, for `train` to learn from; can be stopped and continued."""

import argparse
from pathlib import Path

from BSAFusionLib.errors import FusionError
from BSAFusionResearch.simulation.settings import MODALITIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--heads", type=Path, required=True, help="folder of labeled heads, 01.nii.gz to 15.nii.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder for <modality>.npz, and parts to continue from")
    parser.add_argument(
        "--patients", type=int, default=4, metavar="N", help="patients simulated from each head (default: 4)"
    )
    parser.add_argument(
        "--reported",
        action="store_true",
        help="validate on heads 13 to 15 in place of 11 and 12: for `evaluate --data` alone, never to choose by",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate the patients that the folder lacks, then write the slices of all to one file a modality. Returns 0."""
    if arguments.patients < 1:
        raise FusionError(f"There must be 1 patient or more, not {arguments.patients}; change --patients.")

    from tqdm import tqdm

    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.simulation.head_slices import count_unmarked, join_parts, write_parts
    from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, REPORTED_HEADS, TRAINING_HEADS

    results = [arguments.out / f"{modality}.npz" for modality in MODALITIES]
    refuse_overwriting(arguments.heads.glob("*.nii.gz"), results)
    patients = [(head, number) for number in range(arguments.patients) for head in TRAINING_HEADS]
    patients += [(head, 0) for head in (REPORTED_HEADS if arguments.reported else CHOOSING_HEADS)]  # to validate on
    if unmarked := count_unmarked(arguments.out, patients):
        print(
            f"{unmarked} files in {arguments.out / 'parts'} do not say which heads they were made from, and are used "
            "as they are; delete them if the heads changed."
        )
    for head, number in tqdm(patients, unit="patient"):
        write_parts(arguments.heads, head, number, arguments.out)
    for modality, result in zip(MODALITIES, results, strict=True):
        print(f"{result}: {join_parts(arguments.out, modality, patients)} slices")
    return 0
