"""Measure what the module adds to Slicer's start, and how long its panel takes to open.

    python Testing/benchmarks/opening.py

Each measurement is a process of its own, in the test bench's Slicer. Printed are all of them and the median.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

repository = Path(__file__).resolve().parents[2]

program = """
import sys, time
sys.path.insert(0, sys.argv[1])
from Testing import harness
import slicer

with harness.running():
    begun = time.perf_counter()
    harness.load_module(f"{sys.argv[1]}/BSAFusion/BSAFusion.py")
    loaded = time.perf_counter()
    slicer.util.selectModule("BSAFusion")
    slicer.app.processEvents()
    print(loaded - begun, time.perf_counter() - loaded)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the module's share of Slicer's start, and its panel's opening."
    )
    parser.add_argument("--repeats", type=int, default=5, help="processes (default: 5)")
    repeats = parser.parse_args().repeats
    times = []
    for _ in range(repeats):
        command = [sys.executable, "-c", program, str(repository)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times.append([1000 * float(seconds) for seconds in output.splitlines()[-1].split()])
    for what, found in zip(("start", "opening"), zip(*times, strict=True), strict=True):
        listed = ", ".join(f"{milliseconds:.0f}" for milliseconds in found)
        print(f"{what:<8} {statistics.median(found):5.0f} ms (median of {listed})")


if __name__ == "__main__":
    main()
