"""Time a whole `fuse` command by its stages: `python Testing/benchmarks/command.py FIXED MOVING --against FOLDER`.

FIXED and MOVING are volumes, for example those that `run.py simulate` makes of a head. FOLDER is another checkout of
this project, the baseline; both have their turn in every repetition. Times are CPU seconds of all threads, which other
programs lengthen less, or with `--clock wall` seconds of the clock. The ratio is this checkout's median over the
baseline's. What a checkout does not give to a stage of its report stands beside the stages. With `--baselines`, ANTs
SyN registers the same volumes in every repetition, with as many threads; reading and writing are not in its seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.files.volumes import read_volume  # noqa: E402
from BSAFusionResearch.commands._inputs import add_baselines  # noqa: E402
from BSAFusionResearch.evaluation.baselines import TITLES, check_baselines, register  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402

# The stages are timed by time.perf_counter, in older checkouts, too.
PROGRAMS = {
    "cpu": "import sys, time; time.perf_counter = time.process_time; from BSAFusionLib.__main__ import main; "
    "sys.exit(main())",
    "wall": "import sys; from BSAFusionLib.__main__ import main; sys.exit(main())",
}
OUTSIDE, WHOLE = "outside of the stages", "whole command"
BASELINE = "ants_syn"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixed", type=Path, help="an MRI")
    parser.add_argument("moving", type=Path, help="a CT, PET or SPECT")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout, the baseline")
    parser.add_argument("--clock", choices=tuple(PROGRAMS), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of the network (default: the shipped ones)")
    add_baselines(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds of every repetition here")
    arguments = parser.parse_args()
    checkouts = {"this": repository, **({"baseline": arguments.against.resolve()} if arguments.against else {})}
    if arguments.baselines:
        check_baselines(arguments.baselines)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    syn: list[float] = []
    for _ in range(arguments.repetitions):
        for name, folder in checkouts.items():
            runs[name].append(timed(folder, arguments))
        if arguments.baselines:
            syn.append(syn_seconds(arguments))
    if arguments.json:
        content = {**runs, BASELINE: syn}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(table(runs))
    if syn:
        ratio = np.median([run[WHOLE] for run in runs["this"]]) / np.median(syn)
        print(f"\n{TITLES[BASELINE]} takes {np.median(syn):.1f} s; the whole command takes {ratio:.2f} of that.")


def timed(checkout: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Run the command of a checkout, and return the seconds of its stages, of what is outside of them, and of all."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), str(arguments.threads))
    with tempfile.TemporaryDirectory() as folder:
        volumes = [str(path.resolve()) for path in (arguments.fixed, arguments.moving)]
        command = [sys.executable, "-c", PROGRAMS[arguments.clock], "fuse", *volumes, "--out", folder]
        command += ["--weights", str(arguments.weights.resolve())] if arguments.weights else []
        before = clock(arguments.clock)
        environment = {**os.environ, **limits, "PYTHONPATH": str(checkout)}
        subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
        whole = clock(arguments.clock) - before
        stages = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))["seconds"]
    return {**stages, OUTSIDE: whole - sum(stages.values()), WHOLE: whole}


def syn_seconds(arguments: argparse.Namespace) -> float:
    """Register the same volumes by ANTs SyN, and return its seconds by the chosen clock."""
    fixed, moving = (read_volume(path) for path in (arguments.fixed, arguments.moving))
    registered = register(BASELINE, fixed, moving, arguments.baselines, arguments.threads)
    return registered.cpu_seconds if arguments.clock == "cpu" else registered.seconds


def clock(kind: str) -> float:
    """Return the time, or the CPU seconds of all commands so far."""
    if kind == "wall":
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(runs: dict[str, list[dict[str, float]]]) -> str:
    """Return the medians by stage, and how large this checkout's are of the baseline's."""
    lines = []
    for stage in runs["this"][0]:
        medians = [float(np.median([run.get(stage, np.nan) for run in of_one])) for of_one in runs.values()]
        ratio = [f"{medians[0] / medians[1]:.2f}"] if len(medians) > 1 else []
        lines.append([stage, *(f"{seconds:.1f}" for seconds in medians), *ratio])
    return markdown_table(["stage, seconds", *runs, *(["ratio"] if len(runs) > 1 else [])], lines)


if __name__ == "__main__":
    main()
