"""Trains the head network on simulated images; can be stopped and continued.

python3 run.py train_pose --heads HEADS --out runs/pose --hours 2
"""

import csv
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from pytorch_optimizer import Muon
from torch import nn

from BSAFusionLib.errors import FusionError
from BSAFusionLib.head_pose.network import COORDINATE_UNIT_MM, HeadNetwork, Prediction
from BSAFusionLib.head_pose.weights import save_head_network
from BSAFusionResearch.pose.checkpoint import fill, read_checkpoint
from BSAFusionResearch.pose.generator import Dice, Difficulty, Example, make_example
from BSAFusionResearch.pose.heads import STANDARD_FILE, Head, load_head
from BSAFusionResearch.simulation.heads import CHOOSING_HEADS, TRAINING_HEADS, head_files

CHECKPOINT = "checkpoint.pt"
FREE_TO_CHANGE = {"hours", "save_seconds", "validate_seconds"}
"""Settings that a run may be resumed with others of: it may take more hours, and be saved and watched more often."""
LOG_FIELDS = (
    "date", "step", "hours", "rate", "loss", "brain", "nll", "error_mm", "held_out_error_mm", "held_out_brain",
    "held_out_turned_error_mm",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a run, beside its data."""

    hours: float = 2.0  # of wall time in which the learning rate falls evenly to its last value
    learning_rate: float = 0.02  # of matrices (Muon); of other parameters a tenth
    last_rate: float = 0.01  # share of the learning rate at the end
    warm_up_steps: int = 100
    voxels: int = 260_000  # of a batch, about
    most: int = 4  # images of a batch
    averaging: float = 0.998  # decay of the running average of the weights, which is what is kept
    brain_weight: float = 2.0
    save_seconds: float = 180.0
    validate_seconds: float = 420.0
    seed: int = 0


def loss_of(prediction: Prediction, brain: torch.Tensor, coordinate: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the losses of a batch: Laplace likelihood of the coordinate in the brain, cross-entropy of the brain.

    The density of an error of length e in three dimensions is exp(-e / b) / (8 pi b^3).
    """
    inside = (brain > 0.5).float()
    error = (prediction.coordinate - coordinate).square().sum(1).add(1e-4).sqrt() / COORDINATE_UNIT_MM
    log_spread = prediction.log_spread - math.log(COORDINATE_UNIT_MM)
    density = 3 * log_spread + error * torch.exp(-log_spread)
    count = inside.sum().clamp(min=1)
    return {
        "nll": (density * inside).sum() / count,
        "brain": F.binary_cross_entropy_with_logits(prediction.brain_logit, brain),
        "error_mm": (error.detach() * inside).sum() / count * COORDINATE_UNIT_MM,
    }


def draw_shape(dice: Dice) -> tuple[int, int, int]:
    """Draw the size of a batch's images in voxels of 6 mm: heads, slabs, and fields with room for a body."""
    kind = dice.rng.random()
    if kind < 0.65:
        low, high = (13, 17, 14), (25, 25, 25)
    elif kind < 0.78:
        low, high = (6, 15, 13), (13, 25, 22)
    else:
        low, high = (22, 20, 20), (46, 35, 42)
    d, h, w = (2 * int(dice.rng.integers(a, b)) for a, b in zip(low, high, strict=True))
    return min(d, 2 * (420_000 // (2 * h * w))), h, w


def difficulty_at(progress: float) -> Difficulty:
    """Return how hard images are at a share of the training: upright heads first, then more turned ones."""
    ramp = min(max((progress - 0.08) / 0.25, 0.0), 1.0)
    return Difficulty(any_rotation=0.02 + 0.04 * ramp, tilt_deg=22 + 20 * ramp, no_head=0.08)


def batch_of(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stack examples: channels, brain, coordinate."""
    return tuple(torch.stack([getattr(e, name) for e in examples]) for name in ("channels", "brain", "coordinate"))


def parameter_groups(network: nn.Module, rate: float) -> list[dict]:
    """Give inner matrices to Muon (Jordan et al., 2024) and the rest to AdamW at a tenth of the learning rate."""
    ends = {id(p) for layer in (network.stem, network.last) for p in layer.parameters()}
    matrices = [p for p in network.parameters() if p.ndim > 1 and id(p) not in ends]
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    return [
        {"params": matrices, "use_muon": True, "lr": rate, "initial_lr": rate, "weight_decay": 0.01},
        {"params": rest, "use_muon": False, "lr": rate / 10, "initial_lr": rate / 10, "betas": (0.9, 0.98)},
    ]


class Training:
    """Holds a run's state: network, running average, optimizer, random numbers, steps and time."""

    def __init__(self, settings: TrainingSettings, heads: list[Head], held_out: list[Head], folder: Path):
        self.settings, self.heads, self.held_out, self.folder = settings, heads, held_out, folder
        torch.manual_seed(settings.seed)
        self.network, self.average = HeadNetwork(), HeadNetwork()
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = Muon(parameter_groups(self.network, settings.learning_rate))
        self.dice = Dice(settings.seed)
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """Share of the planned time that has passed."""
        return min(self.seconds / (3600 * self.settings.hours), 1.0)

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the earlier one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "dice": self.dice.state(),
            "step": self.step,
            "seconds": self.seconds,
            "settings": asdict(self.settings),
        }
        temporary = self.folder / f"{CHECKPOINT}.part"
        torch.save(state, temporary)
        os.replace(temporary, self.folder / CHECKPOINT)

    def resume(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            FusionError: The checkpoint is damaged, or belongs to another network or a run with other settings.
        """
        path = self.folder / CHECKPOINT
        state = read_checkpoint(path)
        self._check_settings(state, path)
        fill(self.network, state["network"], path)
        fill(self.average, state["average"], path)
        self.optimizer.load_state_dict(state["optimizer"])
        self.dice.restore(state["dice"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _check_settings(self, state: dict, path: Path) -> None:
        """Raise FusionError where a checkpoint's run had other settings, which would be ignored from here on."""
        # Checkpoints of earlier versions record no settings, but their optimizer knows the learning rate.
        begun = state.get("settings") or {"learning_rate": state["optimizer"]["param_groups"][0]["initial_lr"]}
        own = asdict(self.settings)
        for name in sorted(own.keys() & begun.keys() - FREE_TO_CHANGE):
            if own[name] != begun[name]:
                raise FusionError(
                    f"The run of {path} was begun with {name.replace('_', ' ')} {begun[name]}, not {own[name]}; resume "
                    "it with the same, or begin another run in another folder."
                )

    def train_step(self) -> dict[str, float]:
        """Make a batch and learn from it."""
        settings = self.settings
        shape = draw_shape(self.dice)
        count = max(1, min(settings.most, round(settings.voxels / math.prod(shape))))
        difficulty = difficulty_at(self.progress)
        picked = self.dice.rng.choice(len(self.heads), count, replace=False)
        examples = [make_example(self.heads[i], shape, self.dice, difficulty) for i in picked]
        channels, brain, coordinate = batch_of(examples)
        losses = loss_of(self.network(channels), brain, coordinate)
        loss = losses["nll"] + settings.brain_weight * losses["brain"]
        factor = settings.last_rate + (1 - settings.last_rate) * (1 - self.progress)
        factor *= min(1.0, (self.step + 1) / settings.warm_up_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        figures = {name: float(value.detach()) for name, value in losses.items()} | {"loss": float(loss.detach())}
        if not math.isfinite(figures["loss"]):
            return figures
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), 20.0))
        if not math.isfinite(norm):  # a step by it would leave no weight finite
            return figures | {"loss": norm}
        self.optimizer.step()
        self.step += 1
        decay = min(settings.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        return figures

    @torch.no_grad()
    def validate(self, count: int = 32) -> dict[str, float]:
        """Return the running average's median error in the brain on heads not trained on, always the same images."""
        found: dict[str, list[float]] = {"error": [], "turned": [], "brain": []}
        for turned in (False, True):
            dice = Dice(1000 + turned)
            difficulty = Difficulty(any_rotation=1.0 if turned else 0.0, tilt_deg=20, torso=0.3)
            for number in range(count // 2 if turned else count):
                shape = (36, 44, 40) if number % 4 else (60, 48, 60)
                example = make_example(self.held_out[number % len(self.held_out)], shape, dice, difficulty)
                channels, brain, coordinate = batch_of([example])
                prediction = self.average(channels)
                inside = brain > 0.5
                if not inside.any():
                    continue
                error = (prediction.coordinate - coordinate).square().sum(1).sqrt()[inside]
                found["turned" if turned else "error"].append(float(error.median()))
                if not turned:
                    loss = F.binary_cross_entropy_with_logits(prediction.brain_logit, brain)
                    found["brain"].append(float(loss))
        means = {name: sum(values) / max(len(values), 1) for name, values in found.items()}
        return {
            "held_out_error_mm": means["error"],
            "held_out_turned_error_mm": means["turned"],
            "held_out_brain": means["brain"],
        }

    def run(self) -> None:
        """Train until the planned time has passed; log, validate and save on the way."""
        settings, started, before = self.settings, time.monotonic(), self.seconds
        saved = validated = logged = started
        sums: dict[str, float] = {}
        steps = 0
        while self.progress < 1:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value
            steps += 1
            now = time.monotonic()
            self.seconds = before + now - started
            figures = {}
            if now - validated > settings.validate_seconds or self.progress >= 1:
                figures, validated = self.validate(), now
            if figures or now - logged > 60:
                self.log({name: value / steps for name, value in sums.items()} | figures)
                sums, steps, logged = {}, 0, now
            if now - saved > settings.save_seconds:
                self.save()
                saved = now
        self.save()

    def log(self, figures: dict[str, float]) -> None:
        """Append a line to the log."""
        path = self.folder / "log.csv"
        new = not path.exists()
        row = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
            "step": self.step,
            "hours": round(self.seconds / 3600, 4),
            "rate": round(self.optimizer.param_groups[0]["lr"], 6),
        } | {name: round(value, 4) for name, value in figures.items()}
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_FIELDS)
            if new:
                writer.writeheader()
            writer.writerow(row)


def train(heads: Path, out: Path, settings: TrainingSettings, resume: bool = False) -> Path:
    """Train the head network until the planned time has passed, and write its weights.

    Args:
        heads: folder of labeled heads, 01.nii.gz and on; heads 01 to 10 train, 11 and 12 are watched.
        out: folder of the checkpoint, the log and the weights.
        settings: settings of the run.
        resume: continue from the checkpoint in `out`.

    Returns:
        The weights file, half precision.
    """
    out.mkdir(parents=True, exist_ok=True)
    training = Training(
        settings,
        [load_head(path, STANDARD_FILE) for path in head_files(heads, TRAINING_HEADS)],
        [load_head(path, STANDARD_FILE) for path in head_files(heads, CHOOSING_HEADS)],
        out,
    )
    if resume:
        training.resume()
    training.run()
    details = {"steps": str(training.step), "hours": f"{training.seconds / 3600:.2f}"}
    save_head_network(out / "head_pose.safetensors", training.average, details)
    return out / "head_pose.safetensors"
