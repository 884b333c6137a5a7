"""A short run of training and what it did at each step, for one process or for those of torchrun.

    python -m torch.distributed.run --standalone --nproc_per_node 2 -m Testing.training.short_run FOLDER

writes into FOLDER what the first of the processes recorded, of a whole run (`whole.pt`) and of the second half of one
that FOLDER/checkpoint.pt was saved in the middle of (`resumed.pt`). Then the second process lacks a file, spoils the
network, and is killed: the first one reports each.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionResearch.training.processes import all_or_none, errors_once, launched_fabric
from BSAFusionResearch.training.trainer import Trainer, TrainingSettings, parameter_groups
from Testing.training.ellipses import ellipses

# In float32 throughout, for bfloat16 rounds another batch otherwise.
settings = TrainingSettings(
    steps=3,
    fusion_steps=2,
    batch=4,
    warm_up=1,
    same_modality_steps=0,
    renew_every=2,
    mixed_precision=False,
)


class WatchedTrainer(Trainer):
    """Keeps each step's loss terms, as means over the processes, and the gradient's norm before it is clipped."""

    def __init__(self, fabric: Fabric):
        fabric.seed_everything(3, verbose=False)
        super().__init__(BSAFusion(), settings, fabric)
        # Muon turns matrices in bfloat16, and AdamW goes as far where a gradient is nothing but rounding.
        plain = torch.optim.SGD(parameter_groups(self.network.module, settings.learning_rate), momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(plain, self._rate)
        self.optimizer = fabric.setup_optimizers(plain)
        self.terms: list[dict[str, float]] = []
        self.norms: list[float] = []

        def watched(*given, **options) -> torch.Tensor:
            norm = Fabric.clip_gradients(fabric, *given, **options)
            self.norms.append(norm.item())
            return norm

        fabric.clip_gradients = watched

    def learn(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = super().learn(fixed, moving)
        self.terms.append({name: self.fabric.all_reduce(term.detach()).item() for name, term in terms.items()})
        return terms

    def record(self) -> dict:
        """Return all that must be the same on any number of processes."""
        return {"terms": self.terms, "norms": self.norms, "average": self.averaged.state_dict()}


def run(fabric: Fabric, folder: Path, resumed_from: Path | None = None) -> dict:
    """Train to the end, from step 0 or from a checkpoint; return what was recorded on the way."""
    trainer = WatchedTrainer(fabric)
    if resumed_from is not None:
        trainer.resume(resumed_from)
    pairs = ellipses(8)
    trainer.train(pairs, pairs, folder)
    return trainer.record()


class BreakingTrainer(WatchedTrainer):
    """On the second process, a parameter is lost before one step, and the process before another."""

    lost_parameter, lost_process = 2, 3

    def learn(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.fabric.global_rank == 1:
            if self.step == self.lost_process:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.step == self.lost_parameter:
                self.network.module.bsfa.top_down.joined[0][0].bias.data.fill_(torch.nan)
        return super().learn(fixed, moving)


def report(fabric: Fabric, mistake: Callable[[], None]) -> None:
    """Print what the command would report, with the process that reports it."""
    try:
        with errors_once(fabric):
            mistake()
    except FusionError as error:
        print(f"reported by {fabric.global_rank}: {error}", flush=True)
    except SystemExit:
        pass


def one_lacks_a_file(fabric: Fabric) -> None:
    with all_or_none():
        if fabric.global_rank == 1:
            raise FusionError("There is no such file.")


def break_down(fabric: Fabric, lost_parameter: int, lost_process: int) -> None:
    trainer = BreakingTrainer(fabric)
    trainer.lost_parameter, trainer.lost_process = lost_parameter, lost_process
    for trainer.step in (1, 2, 3):
        trainer.learn(*ellipses(4).batch(torch.arange(4), fabric.device))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    fabric = launched_fabric("cpu")
    found = {"whole": run(fabric, folder / "whole"), "resumed": run(fabric, folder / "rest", folder / "checkpoint.pt")}
    if fabric.is_global_zero:
        for name, record in found.items():
            torch.save(record, folder / f"{name}.pt")
    report(fabric, lambda: one_lacks_a_file(fabric))
    report(fabric, lambda: break_down(fabric, lost_parameter=2, lost_process=0))
    report(fabric, lambda: break_down(fabric, lost_parameter=0, lost_process=2))
