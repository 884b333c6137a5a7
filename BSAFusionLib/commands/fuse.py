"""Aligns a CT, PET or SPECT file with an MRI file and fuses the two."""

import argparse
from pathlib import Path

from BSAFusionLib.commands._case import add_settings, report_text, run_case, save_json
from BSAFusionLib.settings import modalities


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fixed", type=Path, metavar="FIXED", help="the MRI: NIfTI, NRRD or MetaImage")
    parser.add_argument("moving", type=Path, metavar="MOVING", help="the CT, PET or SPECT that is aligned to it")
    parser.add_argument(
        "--modality", choices=("auto", *modalities), default="auto", help="what MOVING is (default: from intensities)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    from BSAFusionLib.files import written_whole

    with written_whole(arguments.out) as folder:
        _, result = run_case(arguments.fixed, arguments.moving, arguments.modality, arguments, folder)
    print(report_text(result.report))
    print(f"results in {arguments.out}")
    if arguments.json:
        save_json(result.report.as_dict(), arguments.json)
    return 0
