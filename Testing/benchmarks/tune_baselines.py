"""Choose settings of ANTs SyN and elastix on head 12: `python Testing/benchmarks/tune_baselines.py HEADS`.

For each modality, one setting after the other is changed, and the best of each is kept. The mean error in the brain is
that of two patients with 4 and 8 mm elastic, turned by 8 degrees and shifted by 12 mm. Heads 13 to 15, on which the
baselines are reported, take no part. `HEAD_SETTINGS` of `BSAFusionResearch/evaluation/baselines.py` holds what came
out. Every figure is in --json as soon as it is measured; with --resume, those that are there are not measured again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.commands._case import save_json  # noqa: E402
from BSAFusionLib.errors import FusionError  # noqa: E402
from BSAFusionLib.geometry.fields import error_mm  # noqa: E402
from BSAFusionResearch.commands._inputs import add_baselines  # noqa: E402
from BSAFusionResearch.evaluation.baselines import DEFAULT_PYTHON, check_baselines, register  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402
from BSAFusionResearch.evaluation_heads.cases import HeadCase, head_cases  # noqa: E402
from BSAFusionResearch.simulation.patient import brain_mask  # noqa: E402
from BSAFusionResearch.simulation.settings import MODALITIES  # noqa: E402

HEAD, DEGREES, ELASTIC_MM = "12", 8.0, (4.0, 8.0)
TRIED = {
    "elastix_bending": {"bending_weight": (100.0, 1000.0, 10000.0, 100000.0), "grid_mm": (16.0, 32.0, 64.0)},
    "ants_rigid_syn": {"flow_variance": (3.0, 6.0), "total_variance": (0.0, 1.0, 3.0), "gradient_step": (0.1,)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path, help="folder of the labeled heads")
    parser.add_argument("--method", choices=tuple(TRIED), nargs="+", default=tuple(TRIED))
    parser.add_argument("--modality", choices=MODALITIES, nargs="+", default=MODALITIES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="holds the figures")
    parser.add_argument("--resume", action="store_true", help="take what is in --json already")
    add_baselines(parser)
    arguments = parser.parse_args()
    arguments.baselines = arguments.baselines or DEFAULT_PYTHON
    check_baselines(arguments.baselines)
    figures = json.loads(arguments.json.read_text()) if arguments.resume and arguments.json.is_file() else {}
    chosen, lines = {}, []
    for method in arguments.method:
        for modality in arguments.modality:
            settings, ends = tuned(method, modality, figures, arguments, lines)
            chosen.setdefault(method, {})[modality] = settings
            if ends:
                print(
                    f"{method}, {modality}: the best of {', '.join(ends)} is at the end of what was tried", flush=True
                )
    print("\n" + markdown_table(["method", "modality", "settings", "mean error in the brain, mm"], lines))
    print(f"\n{json.dumps(chosen, indent=4)}")


def tuned(
    method: str, modality: str, figures: dict, arguments: argparse.Namespace, lines: list[list[str]]
) -> tuple[dict[str, float], list[str]]:
    """Return the best settings for a modality, and the names of those whose best value is the last one tried."""
    settings = {name: values[0] for name, values in TRIED[method].items()}
    ends = []
    for name, values in TRIED[method].items():
        means = {}
        for value in values:
            tried = settings | {name: value}
            means[value] = mean_error(method, modality, tried, figures, arguments)
            lines.append([method, modality, json.dumps(tried), f"{means[value]:.2f}"])
            print(" | ".join(lines[-1]), flush=True)
        settings[name] = min(means, key=means.__getitem__)
        if settings[name] == values[-1] and len(values) > 2:
            ends.append(name)
    return settings, ends


def mean_error(method: str, modality: str, settings: dict, figures: dict, arguments: argparse.Namespace) -> float:
    """Return the mean error of a method with these settings, mm; infinite where it gave up on a patient."""
    row = figures.setdefault(f"{method} {json.dumps(settings)}", {})
    for case in head_cases((HEAD,)):
        fits = (case.modality, case.rotation_deg) == (modality, DEGREES) and case.elastic_mm in ELASTIC_MM
        if fits and case.name not in row:
            row[case.name] = case_error(case, method, settings, arguments)
            save_json(figures, arguments.json)
    found = [error for name, error in row.items() if name.split("-")[1] == modality]
    return float(np.mean([np.inf if error is None else error for error in found]))


def case_error(case: HeadCase, method: str, settings: dict, arguments: argparse.Namespace) -> float | None:
    """Return the error of a method on a patient, mm; None where it gave up."""
    patient = case.patient(arguments.heads)
    try:
        found = register(method, patient.fixed, patient.moving, arguments.baselines, arguments.threads, **settings)
    except FusionError as error:
        print(error, flush=True)
        return None
    return error_mm(found.whole, patient.truth, brain_mask(patient))


if __name__ == "__main__":
    main()
