"""Tune ANTs SyN and elastix with a penalty on bending on head 12: `python Testing/benchmarks/tune_baselines.py HEADS`.

One setting after the other is changed, from what the program has now, and the best of each is kept. The mean error in
the brain is that of a CT, a PET and a SPECT with 8 mm elastic, turned by 8 degrees and shifted by 12 mm. Heads 13 to
15, on which the baselines are reported, take no part. Every figure is in --json as soon as it is measured; with
--resume, those that are there are not measured again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.commands._case import save_json  # noqa: E402
from BSAFusionLib.geometry.fields import error_mm  # noqa: E402
from BSAFusionResearch.commands._inputs import add_baselines  # noqa: E402
from BSAFusionResearch.evaluation.baseline_program import TUNED_ELASTIX, TUNED_SYN  # noqa: E402
from BSAFusionResearch.evaluation.baselines import DEFAULT_PYTHON, check_baselines, register  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402
from BSAFusionResearch.evaluation_heads.cases import head_cases  # noqa: E402
from BSAFusionResearch.simulation.patient import brain_mask  # noqa: E402

HEAD, DEGREES, ELASTIC_MM = "12", 8.0, 8.0
TRIED = {
    "elastix_bending": {
        "bending_weight": (1.0, 10.0, 100.0, 1000.0),
        "grid_mm": (16.0, 32.0),
    },
    "ants_syn_tuned": {"flow_sigma": (3.0, 6.0), "total_sigma": (0.0, 1.0)},
}
SHIPPED = {"elastix_bending": TUNED_ELASTIX, "ants_syn_tuned": TUNED_SYN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path, help="folder of the labeled heads")
    parser.add_argument("--method", choices=tuple(TRIED), nargs="+", default=tuple(TRIED))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="holds the figures")
    parser.add_argument("--resume", action="store_true", help="take what is in --json already")
    add_baselines(parser)
    arguments = parser.parse_args()
    arguments.baselines = arguments.baselines or DEFAULT_PYTHON
    check_baselines(arguments.baselines)
    figures = json.loads(arguments.json.read_text()) if arguments.resume and arguments.json.is_file() else {}
    for method in arguments.method:
        settings = dict(SHIPPED[method])
        for name, values in TRIED[method].items():
            means = {value: measured(method, settings | {name: value}, figures, arguments) for value in values}
            settings[name] = min(means, key=means.__getitem__)
        print(f"\n{method}: {settings}", flush=True)
    print("\n" + markdown_table(["settings", "mean of all, mm", *_names(figures)], _lines(figures)))


def measured(method: str, settings: dict, figures: dict, arguments: argparse.Namespace) -> float:
    """Return the mean error of a method with these settings, mm, and keep each case's in the figures."""
    row = figures.setdefault(f"{method} {json.dumps(settings)}", {})
    for case in head_cases((HEAD,)):
        if (case.rotation_deg, case.elastic_mm) == (DEGREES, ELASTIC_MM) and case.name not in row:
            patient = case.patient(arguments.heads)
            found = register(method, patient.fixed, patient.moving, arguments.baselines, arguments.threads, **settings)
            brain = brain_mask(patient)
            row[case.name] = {
                "rigid": error_mm(found.rigid, patient.truth, brain),
                "final": error_mm(found.whole, patient.truth, brain),
                "seconds": found.seconds,
            }
            save_json(figures, arguments.json)
    mean = float(np.mean([one["final"] for one in row.values()]))
    print(f"{method}, {settings}: {mean:.3f} mm", flush=True)
    return mean


def _names(figures: dict) -> list[str]:
    return list(next(iter(figures.values())))


def _lines(figures: dict) -> list[list[str]]:
    return [
        [name, f"{np.mean([one['final'] for one in row.values()]):.2f}"]
        + [f"{row[case]['rigid']:.2f}, {row[case]['final']:.2f}" for case in _names(figures)]
        for name, row in figures.items()
    ]


if __name__ == "__main__":
    main()
