"""Simulate one patient from a labeled head: an MRI and a CT, PET or SPECT, with the exact transform between them."""

import argparse
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from BSAFusionResearch.simulation.settings import MODALITIES, PatientSettings

UNITS = {"_mm": "MM", "_deg": "DEG"}
# Said by an argument or option of its own.
OWN_OPTIONS = ("modality", "removed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("head", type=Path, metavar="HEAD", help="a label map of a head, with tissue codes 0 to 27")
    parser.add_argument("modality", choices=MODALITIES, metavar="MODALITY", help="the moving scan: ct, pet or spect")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    removed = parser.add_mutually_exclusive_group()
    for option, what in (("--skull-stripped", "skull"), ("--defaced", "face")):
        removed.add_argument(
            option,
            dest="removed",
            action="store_const",
            const=what,
            default="nothing",
            help=f"an MRI without the {what}",
        )
    for each in fields(PatientSettings):
        if each.name not in OWN_OPTIONS:
            _add_option(parser, each)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    settings = PatientSettings(**{each.name: getattr(arguments, each.name) for each in fields(PatientSettings)})

    from BSAFusionLib.files.atomic import written_whole
    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.simulation.files import OUTPUTS, write_patient
    from BSAFusionResearch.simulation.heads import read_head
    from BSAFusionResearch.simulation.patient import simulate_patient

    refuse_overwriting([arguments.head], [arguments.out / name for name in OUTPUTS])
    patient = simulate_patient(read_head(arguments.head), settings)
    with written_whole(arguments.out) as folder:
        description = write_patient(patient, arguments.head.name, folder)
    errors = description["error_in_brain_mm"]
    print(
        f"In the brain, the moving scan lies {errors['before']:.1f} mm off on average; "
        f"the best rigid motion leaves {errors['best_rigid']:.2f} mm."
    )
    print(f"files in {arguments.out}")
    return 0


def _add_option(parser: argparse.ArgumentParser, choice: Field) -> None:
    """Add the option of one field of PatientSettings, named without its unit: elastic_mm becomes --elastic MM."""
    unit = next((unit for unit in UNITS if choice.name.endswith(unit)), "")
    options = choice.metadata.get("options")
    keywords: dict[str, Any] = {"choices": options} if options else {"type": _number_type(choice)}
    if not options:
        keywords["metavar"] = UNITS.get(unit, "N")
    default = "" if choice.default is None else f" (default: {choice.default})"
    parser.add_argument(
        f"--{choice.name.removesuffix(unit).replace('_', '-')}",
        dest=choice.name,
        default=choice.default,
        help=choice.metadata["help"] + default,
        **keywords,
    )


def _number_type(choice: Field) -> type:
    return int if isinstance(choice.default, int) else float
