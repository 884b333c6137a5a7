"""Trains the network on simulated unaligned pairs; can be stopped and taken up again."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

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
from BSAFusionResearch.training.label_slices import LabelSlices
from BSAFusionResearch.training.processes import own_rows, same_dropout, true_everywhere
from BSAFusionResearch.training.slice_pairs import SlicePairs
from BSAFusionResearch.training.unaligned_pairs import Simulator, UnalignedPairs

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TrainingSettings:
    """What a run is defined by, beside its data."""

    steps: int = 6000  # in which MDF-FR and BSFA learn to register halve slices
    fusion_steps: int = 400  # after them, in which MMFF learns to fuse whole slices and nothing else moves
    brightness: float = 0.1  # weight of the larger intensity in what is fused
    batch: int = 8  # pairs a step, of all processes together
    learning_rate: float = 0.02  # of the matrices, see `parameter_groups`
    warm_up: int = 50  # steps of rising learning rate at the start of either part; a cosine falls to 1 % after them
    same_modality_steps: int = 300  # over which the share of pairs of one modality, the easier ones, falls from 1
    synthetic: float = 0.3  # share of pairs drawn from tissue maps, where those are given
    averaging: float = 0.995  # decay of the running average of the weights, which is what is kept
    fusion_averaging: float = 0.95
    renew_every: int = 50  # steps after which the discriminator becomes the classifier's copy
    save_every: int = 500
    seed: int = 0
    mixed_precision: bool = True  # layers in bfloat16; fields, sums and losses in float32
    simulator: Simulator = Simulator()


class Trainer:
    """Holds what a run needs from one step to the next: network, running average, optimiser, step count.

    On several processes each has one, and calls the same methods; only the first writes.

    Raises:
        FusionError: the batch is no multiple of the number of processes.
    """

    def __init__(self, network: BSAFusion, settings: TrainingSettings, fabric: Fabric):
        if settings.batch % fabric.world_size:
            raise FusionError(
                f"A batch of {settings.batch} pairs cannot be shared evenly by {fabric.world_size} processes; "
                "choose a multiple of that number."
            )
        self.settings, self.fabric = settings, fabric
        fabric.seed_everything(settings.seed, verbose=False)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
        self.average.to(fabric.device)
        optimiser = Muon(parameter_groups(network, settings.learning_rate))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.network.mark_forward_method("register")
        self.step = 0

    @property
    def last_step(self) -> int:
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
        """Train to the last step, from wherever this trainer stands; writes checkpoints and logs into `folder`.

        Some pairs of the registration part are drawn from `labels`, where there are any.
        """
        writes = self.fabric.is_global_zero
        writer = SummaryWriter(folder / "logs", purge_step=self.step) if writes else None
        renewed = self.network.mdf_fr.renew_discriminator
        if self.step == 0:
            renewed()
        for step in tqdm(range(self.step + 1, self.last_step + 1), unit="step", disable=not writes):
            self.step = step
            chosen = training.draw(self.settings.batch)
            registering = step <= self.settings.steps
            if step == self.settings.steps + 1:  # what registers stays as it is from here on: its average
                self.network.module.load_state_dict(self.averaged.state_dict())
            slices = training.batch(chosen, self.fabric.device, shown=not registering)
            if labels is not None and registering:
                drawn = (torch.rand(len(chosen)) < self.settings.synthetic).nonzero()[:, 0]
                synthetic = labels.draw(training.modality[chosen[drawn].numpy()].tolist(), self.fabric.device)
                for slice_, other in zip(slices, synthetic, strict=True):
                    slice_[drawn] = other
            terms = self.learn(*slices)
            if self.step % 10 == 0:
                means = self.fabric.all_reduce(torch.stack([*terms.values()]).detach()).tolist()
                if writer:
                    writer.add_scalars("loss", dict(zip(terms, means, strict=True)), self.step)
            if self.step % self.settings.renew_every == 0:
                renewed()
            if writer and (self.step % self.settings.save_every == 0 or self.step == self.last_step):
                self.save(folder / CHECKPOINT)
                figures = validate(self.averaged, validation, self.settings, most=48)
                for name, figure in figures.items():
                    writer.add_scalar(f"validation/{name}", figure, self.step)
                tqdm.write(f"step {self.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        if writer:
            writer.close()

    def learn(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step on aligned slices (N, 1, H, W) in [0, 1]; the terms of its loss.

        Every process is given all the slices, and its terms are those of its own rows: their means over the processes
        are those of the whole batch.
        """
        self.network.train()
        registering = self.step <= self.settings.steps
        with same_dropout(rows=len(fixed) // self.fabric.world_size):
            terms = (self._registration_terms if registering else self._fusion_terms)(fixed, moving)
        self.optimiser.zero_grad()
        self.fabric.backward(sum(terms.values()))
        self.fabric.clip_gradients(self.network, self.optimiser, max_norm=1.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network.module)
        return terms

    def _autocast(self) -> torch.autocast:
        # Fabric's own mixed precision would round the slices themselves to bfloat16, coarser than their grey levels.
        return torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=self.settings.mixed_precision)

    def _registration_terms(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        same = max(self.settings.simulator.same_modality, 1 - self.step / max(1, self.settings.same_modality_steps))
        simulator = replace(self.settings.simulator, pixel=2, same_modality=same)
        pairs = own_pairs(simulator(halve(fixed), halve(moving)))
        with self._autocast():
            registration = self.network.register(pairs.fixed, pairs.moving)
        if not true_everywhere(registration.field.isfinite().all()):
            # Noticed here, for PyTorch crashes in the gradient of grid_sample where a position is not a number.
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
        # So short a part needs an average that forgets its start sooner.
        self.average.multi_avg_fn = get_ema_multi_avg_fn(self.settings.fusion_averaging)
        simulator = replace(self.settings.simulator, vary=False)  # what is fused must be what is seen
        pairs = own_pairs(simulator(fixed, moving))
        with self._autocast():
            output = self.network(pairs.fixed, pairs.moving)
        registered = warp(pairs.moving, output.field)
        return {"fusion": losses.fusion_loss(output.fused.float(), pairs.fixed, registered, self.settings.brightness)}

    @property
    def averaged(self) -> BSAFusion:
        """The network with the running average of its weights."""
        return self.average.module

    def save(self, path: Path) -> None:
        """Write everything a later run needs to go on, beside and then in place, so that no half file is left."""
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "metadata": asdict(self.averaged.metadata),
            "network": self.network.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        unfinished = path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint that `save` wrote.

        Raises:
            FusionError: the file is not such a checkpoint, or is of another network.
        """
        state = load_torch_file(path)
        if not isinstance(state, dict) or not {"step", "network", "average", "optimiser"} <= state.keys():
            raise FusionError(f"{path} is not a checkpoint of a training run; give the checkpoint.pt of one.")
        load_state(self.network.module, state["network"], path)
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]


def own_pairs(pairs: UnalignedPairs) -> UnalignedPairs:
    """Those of a batch that this process learns from."""
    return UnalignedPairs(**{name: own_rows(rows) for name, rows in vars(pairs).items()})


def parameter_groups(network: BSAFusion, learning_rate: float) -> list[dict]:
    """Layers' matrices for Muon (Jordan et al. 2024); other parameters for AdamW, at a tenth of the learning rate.

    Muon makes every direction of a matrix learn alike: from the same start it took 250 steps to where AdamW was after
    500. Biases, tokens, logarithms and layers that answer in a few numbers have no directions in that sense.
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
    """Figures on held-out patients under simulated deformations, always the same ones.

    Returns:
        Mean end-point error in pixels inside the head before and after, mean absolute difference to the truth in grey
        levels before and after, and percent of pixels whose composed field folds.
    """
    simulator = replace(settings.simulator, vary=False, elastic_only=0.0)
    device = next(network.parameters()).device
    network.eval()
    chosen = torch.linspace(0, len(pairs) - 1, min(most or len(pairs), len(pairs))).round().long()
    sums: dict[str, float] = {}
    with torch.random.fork_rng():
        torch.manual_seed(20)
        for indices in chosen.split(4):
            made = simulator(*pairs.batch(indices, device))
            field = network(made.fixed, made.moving, False).field
            for name, figure in figures_of(made, field).items():
                sums[name] = sums.get(name, 0.0) + figure * len(indices)
    return {name: total / len(chosen) for name, total in sums.items()}


def figures_of(pairs: UnalignedPairs, field: torch.Tensor) -> dict[str, float]:
    """The figures of `validate` for one batch."""
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
