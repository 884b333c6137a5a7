"""Train the network on simulated unaligned pairs; a run can be stopped and resumed."""

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from pytorch_optimizer import Muon
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.sampling import halve, warp
from BSAFusionLib.network.weights import load_state, load_torch_file
from BSAFusionResearch.training import losses
from BSAFusionResearch.training.dead_steps import watched_steps
from BSAFusionResearch.training.label_slices import LabelSlices
from BSAFusionResearch.training.processes import own_rows, same_dropout, true_everywhere
from BSAFusionResearch.training.slice_pairs import SlicePairs
from BSAFusionResearch.training.traits import BRIGHTNESS
from BSAFusionResearch.training.unaligned_pairs import Simulator, UnalignedPairs

CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 10
"""Steps between logged losses."""
VALIDATION_PAIRS = 48
"""Pairs that are validated on while training."""
VALIDATION_SEED = 20
FREE_TO_CHANGE = {"fusion_steps", "save_every"}
"""Settings that a run may be resumed with others of, since what was trained so far does not depend on them."""


@dataclass(frozen=True)
class TrainingSettings:
    """Choices that define a run, beside its data.

    Attributes:
        steps: Steps in which MDF-FR and BSFA learn to register halved slices.
        fusion_steps: Steps after them in which only MMFF learns, to fuse whole slices that are aligned.
        brightness: Weight of the larger intensity in the fusion loss.
        batch: Pairs a step, of all processes together.
        learning_rate: Learning rate of the matrices, see `parameter_groups`.
        warm_up: Steps of rising learning rate at the beginning of either part; then a cosine falls to 1 %.
        same_modality_steps: Steps over which the share of pairs of one modality, which are easier, falls from 1.
        synthetic: Share of pairs drawn from tissue maps, where those are given.
        averaging: Decay of the running average of the weights, which is what is saved.
        fusion_averaging: The same in the fusion part.
        renew_every: Steps after which the discriminator becomes a copy of the classifier.
        save_every: Steps between checkpoints.
        seed: Seed of everything random.
        mixed_precision: Whether layers run in bfloat16; fields, sums and losses stay in float32.
        simulator: Random views, intensities and motions.
    """

    steps: int = 6000
    fusion_steps: int = 400
    brightness: float = BRIGHTNESS
    batch: int = 8
    learning_rate: float = 0.02
    warm_up: int = 50
    same_modality_steps: int = 300
    synthetic: float = 0.3
    averaging: float = 0.995
    fusion_averaging: float = 0.95
    renew_every: int = 50
    save_every: int = 500
    seed: int = 0
    mixed_precision: bool = True
    simulator: Simulator = field(default_factory=Simulator)


class Trainer:
    """Holds what a run needs from one step to the next: network, running average, optimizer, step count.

    On several processes, each has its own and calls the same methods; only the first writes files.

    Raises:
        FusionError: The batch is no multiple of the number of processes.
    """

    def __init__(
        self,
        network: BSAFusion,
        settings: TrainingSettings,
        fabric: Fabric,
        started_from: dict | None = None,
        data: dict | None = None,
    ):
        """Prepare a run.

        Args:
            network: To train.
            settings: Of the run.
            fabric: Where it runs.
            started_from: What the card says of the weights that the run began with; a resumed run keeps its own.
            data: Fold, patients and numbers of slices, from `record_of`, which a resumed run must share.
        """
        if settings.batch % fabric.world_size:
            raise FusionError(
                f"A batch of {settings.batch} pairs cannot be shared evenly by {fabric.world_size} processes; "
                "choose a multiple of that number."
            )
        self.settings, self.fabric, self.started_from, self.data = settings, fabric, started_from, data
        self.knows_patients = True  # of the checkpoint that it resumes, too
        fabric.seed_everything(settings.seed, verbose=False)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
        self.average.to(fabric.device)
        optimizer = Muon(parameter_groups(network, settings.learning_rate))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        self.network, self.optimizer = fabric.setup(network, optimizer)
        for method in ("register", "fuse"):
            self.network.mark_forward_method(method)
        self.step = 0

    @property
    def last_step(self) -> int:
        """Number of the last step, of both parts together."""
        return self.settings.steps + self.settings.fusion_steps

    def _rate(self, step: int) -> float:
        warm_up, steps = self.settings.warm_up, self.settings.steps
        if step >= steps:
            step, steps = step - steps, self.settings.fusion_steps
        if step < warm_up:
            return (step + 1) / warm_up
        progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(progress * math.pi))

    def train(
        self, training: SlicePairs, validation: SlicePairs, folder: Path, labels: LabelSlices | None = None
    ) -> None:
        """Train to the last step, from wherever this trainer stands, and write checkpoints and logs.

        Args:
            training: Pairs to learn from.
            validation: Pairs that figures are logged on.
            folder: Where checkpoint and logs go.
            labels: Tissue maps that some pairs of the registration part are drawn from.
        """
        writes = self.fabric.is_global_zero
        writer = SummaryWriter(folder / "logs", purge_step=self.step) if writes else None
        if self.step == 0:
            self.network.mdf_fr.renew_discriminator()
        steps = tqdm(range(self.step + 1, self.last_step + 1), unit="step", disable=None if writes else True)
        loss = math.nan  # until it is first logged
        for step in steps:
            self.step = step
            if step == self.settings.steps + 1:  # from here on, what registers stays as it is: its average
                self.network.module.load_state_dict(self.averaged.state_dict())
            terms = self.learn(*self._drawn(training, labels))
            if self.step % LOG_EVERY == 0 or self.step == self.last_step:
                means = self.fabric.all_reduce(torch.stack([*terms.values()]).detach()).tolist()
                if writer:
                    writer.add_scalars("loss", dict(zip(terms, means, strict=True)), self.step)
                loss = sum(means)
                steps.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if self.step % self.settings.renew_every == 0:
                self.network.mdf_fr.renew_discriminator()
            if writer and (self.step % self.settings.save_every == 0 or self.step == self.last_step):
                self.save(folder / CHECKPOINT)
                registering = self.step <= self.settings.steps  # fusion leaves the figures as they are
                figures = validate(self.averaged, validation, self.settings, VALIDATION_PAIRS) if registering else {}
                for name, figure in figures.items():
                    writer.add_scalar(f"validation/{name}", figure, self.step)
                shown = "".join(f", {k} {v:.3f}" for k, v in figures.items())
                tqdm.write(f"step {self.step}: loss {loss:.3f}{shown}")
        if writer:
            writer.close()

    def _drawn(self, training: SlicePairs, labels: LabelSlices | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the fixed and moving slices of a step, (N, 1, H, W) in [0, 1]; some from labels while registering."""
        chosen = training.draw(self.settings.batch)
        registering = self.step <= self.settings.steps
        slices = training.batch(chosen, self.fabric.device, shown=not registering)
        if labels is not None and registering:
            replaced = (torch.rand(len(chosen)) < self.settings.synthetic).nonzero()[:, 0]
            synthetic = labels.draw(training.modality[chosen[replaced].numpy()].tolist(), self.fabric.device)
            for stack, drawn in zip(slices, synthetic, strict=True):
                stack[replaced] = drawn
        return slices

    def learned_from(self, training: SlicePairs) -> SlicePairs:
        """Return the training pairs that the steps so far drew from: none if all were replaced by tissue maps."""
        from_maps = self.settings.synthetic == 1 and self.step <= self.settings.steps
        return training.where(np.full(len(training), not from_maps))

    def learn(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take one step on aligned slices (N, 1, H, W) in [0, 1], and return the terms of its loss.

        Every process is given all slices and returns the terms of its own rows, whose means over the processes are
        those of the whole batch.
        """
        self.network.train()
        registering = self.step <= self.settings.steps
        with same_dropout(rows=len(fixed) // self.fabric.world_size):
            terms = (self._registration_terms if registering else self._fusion_terms)(fixed, moving)
        self.optimizer.zero_grad()
        self.fabric.backward(sum(terms.values()))
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=1.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network.module)
        return terms

    def _autocast(self) -> torch.autocast:
        # Fabric's own mixed precision would round the slices themselves to bfloat16, coarser than their gray levels.
        return torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=self.settings.mixed_precision)

    def _registration_terms(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        same = max(self.settings.simulator.same_modality, 1 - self.step / max(1, self.settings.same_modality_steps))
        simulator = replace(self.settings.simulator, pixel=2, same_modality=same)
        pairs = own_pairs(simulator(halve(fixed), halve(moving)))
        with self._autocast():
            registration = self.network.register(pairs.fixed, pairs.moving)
        if not true_everywhere(registration.field.isfinite().all()):
            # Checked here, since PyTorch crashes in the gradient of grid_sample where a position is not a number.
            raise FusionError(f"The field is not finite at step {self.step}; lower the learning rate.")
        return {
            "classification": 0.02 * losses.classification_loss(registration),
            "transfer": 0.02 * losses.transfer_loss(self.network.module, registration),
            "match": losses.match_loss(registration, pairs),
            "supervision": 2.0 * losses.supervision_loss(registration, pairs),  # in pixels of the whole slice
            "smoothness": 0.1 * losses.smoothness_loss(registration),
            "registration": 30.0 * losses.registration_loss(registration, pairs),  # as much as a pixel or two of error
        }

    def _fusion_terms(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        for name, parameter in self.network.module.named_parameters():
            parameter.requires_grad_(name.startswith("mmff."))
        # So short a part needs an average that forgets its first steps sooner.
        self.average.multi_avg_fn = get_ema_multi_avg_fn(self.settings.fusion_averaging)
        fixed, moving = own_rows(fixed), own_rows(moving)
        with self._autocast():
            fused = self.network.fuse(fixed, moving)
        return {"fusion": losses.fusion_loss(fused.float(), fixed, moving, self.settings.brightness)}

    @property
    def averaged(self) -> BSAFusion:
        """The network with the running average of its weights."""
        return self.average.module

    def save(self, path: Path) -> None:
        """Write everything that a later run resumes from; an interrupted write leaves no half file."""
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "metadata": asdict(self.averaged.metadata),
            "network": self.network.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "started_from": self.started_from,
            "data": self.data,
        }
        unfinished = path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote.

        Raises:
            FusionError: The file is no such checkpoint, or belongs to another network or a run with other settings or
                data.
        """
        state = load_torch_file(path)
        if not isinstance(state, dict) or not {"step", "network", "average", "optimiser"} <= state.keys():
            raise FusionError(f"{path} is not a checkpoint of a training run; give the checkpoint.pt of one.")
        self._check_settings(state, path)
        load_state(self.network.module, state["network"], path)
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]
        self.started_from = state.get("started_from", self.started_from)
        if not state.get("data"):  # of an earlier version: like weights without a card, which nobody can call held out
            self.knows_patients = False
            self.started_from = {"file": path.name, "started_from": self.started_from}

    def _check_settings(self, state: dict, path: Path) -> None:
        """Raise FusionError where a checkpoint's run had other settings or data, which the card would not tell."""
        own = {**asdict(self.averaged.metadata), **_flat(asdict(self.settings)), **(self.data or {})}
        begun = {**state.get("metadata", {}), **_flat(state.get("settings", {})), **(state.get("data") or {})}
        for name in sorted(own.keys() & begun.keys() - FREE_TO_CHANGE):
            if own[name] != begun[name]:
                raise FusionError(
                    f"The run of {path} was begun with {name.replace('_', ' ')} {begun[name]}, not {own[name]}; resume "
                    "it with the same, or begin another run with its weights as --initial-weights."
                )


def _flat(settings: dict) -> dict:
    """Return a run's settings with those of its simulator in its place."""
    of_simulator = settings.get("simulator", {})
    return {**{name: value for name, value in settings.items() if name != "simulator"}, **of_simulator}


def own_pairs(pairs: UnalignedPairs) -> UnalignedPairs:
    """Return the pairs of a batch that this process learns from."""
    return UnalignedPairs(**{name: own_rows(rows) for name, rows in vars(pairs).items()})


def parameter_groups(network: BSAFusion, learning_rate: float) -> list[dict]:
    """Split parameters: layers' matrices for Muon (Jordan et al. 2024), others for AdamW at a tenth of the rate.

    Muon lets every direction of a matrix learn at the same rate. Biases, tokens, logarithms and layers of a few outputs
    have no directions in that sense.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1 and len(parameter) > 4]
    chosen = set(matrices)
    return [
        {"params": matrices, "use_muon": True, "lr": learning_rate},
        {
            "params": [parameter for parameter in trained if parameter not in chosen],
            "use_muon": False,
            "lr": learning_rate / 10,
        },
    ]


@torch.no_grad()
def validate(network: BSAFusion, pairs: SlicePairs, settings: TrainingSettings, most: int | None = None) -> dict:
    """Measure a network on held-out pairs under simulated deformations, always the same ones.

    Args:
        network: The network.
        pairs: Pairs that it was not trained on.
        settings: Their simulator makes the deformations.
        most: Upper bound of the pairs, evenly spread over all.

    Returns:
        Mean end-point error inside the head in pixels, `error_before` and `error_after`; mean absolute difference to
        the truth in gray levels, `difference_before` and `difference_after`; `folded_percent` of the pixels; and the
        number of `dead_steps`, as `watched_steps` tells.
    """
    simulator = replace(settings.simulator, vary=False, elastic_only=0.0)
    device = next(network.parameters()).device
    network.eval()
    chosen = torch.linspace(0, len(pairs) - 1, min(most or len(pairs), len(pairs))).round().long()
    sums: dict[str, float] = {}
    with torch.random.fork_rng(), watched_steps(network) as alive:
        torch.manual_seed(VALIDATION_SEED)
        for indices in tqdm(chosen.split(4), desc="validation", unit="batch", leave=False, disable=None):
            made = simulator(*pairs.batch(indices, device))
            field = network(made.fixed, made.moving, False).field
            for name, figure in figures_of(made, field).items():
                sums[name] = sums.get(name, 0.0) + figure * len(indices)
    means = {name: total / len(chosen) for name, total in sums.items()}
    return means | {"dead_steps": sum(not shown for shown in alive.values())}


def figures_of(pairs: UnalignedPairs, field: torch.Tensor) -> dict[str, float]:
    """Return the figures of `validate` for one batch and its composed field (N, 2, H, W) in pixels."""
    weights = pairs.inside / pairs.inside.sum().clamp(min=1)
    warped = warp(pairs.moving, field)
    across, down = field.diff(dim=-1)[..., :-1, :], field.diff(dim=-2)[..., :, :-1]
    determinant = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
    return {
        "error_before": (pairs.field.square().sum(1, keepdim=True).sqrt() * weights).sum().item(),
        "error_after": (losses.end_point_errors(field, pairs.field) * weights).sum().item(),
        "difference_before": 255 * (pairs.moving - pairs.aligned).abs().mean().item(),
        "difference_after": 255 * (warped - pairs.aligned).abs().mean().item(),
        "folded_percent": 100 * (determinant <= 0).float().mean().item(),
    }
