"""Measure how much of a training step is drawing the batch, which every process does in full.

    python Testing/benchmarks/drawing.py

Prints CPU seconds a step of four slices of 256 x 256 in the registration part, on the threads that it is given. The
fusion part learns from aligned slices and draws none.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.sampling import halve
from BSAFusionResearch.training.trainer import Trainer, TrainingSettings
from Testing.training.ellipses import ellipses


def main() -> None:
    settings = TrainingSettings(steps=1, fusion_steps=0, batch=4)
    trainer = Trainer(BSAFusion(), settings, Fabric(accelerator="cpu", devices=1))
    slices = ellipses(4, side=256).batch(torch.arange(4), torch.device("cpu"))
    small = [halve(each) for each in slices]
    trainer.step = 1
    drawing = cpu_seconds(lambda: replace(settings.simulator, pixel=2)(*small))
    whole = cpu_seconds(lambda: trainer.learn(*slices))
    print(f"drawing {drawing:.3f} of {whole:.3f} s, {drawing / whole:.1%}")


def cpu_seconds(work: Callable[[], object], times: int = 4) -> float:
    """Return the mean CPU seconds of several runs, after one that does not count."""
    work()
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times


if __name__ == "__main__":
    main()
