"""Trains the network on simulated unaligned pairs; can be stopped and taken up again."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion, BSAFusionOutput
from BSAFusionLib.network.checkpoints import load_state, load_torch_file
from BSAFusionLib.network.warp import warp
from BSAFusionLib.training import losses
from BSAFusionLib.training.slice_pairs import SlicePairs
from BSAFusionLib.training.unaligned_pairs import Simulator, UnalignedPairs

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TrainingSettings:
    """What a run is defined by, beside its data."""

    steps: int = 4000
    batch: int = 8
    learning_rate: float = 8e-4
    warm_up: int = 100  # steps of rising learning rate; a cosine falls to 1 % after them
    same_modality_steps: int = 0  # steps at the very start in which every moving slice is the fixed one, remapped
    registration_steps: int = 0  # steps at the start in which fusion rests, being the dearer half
    averaging: float = 0.99  # decay of the running average of the weights, which is what is kept
    renew_every: int = 50  # steps after which the discriminator becomes the classifier's copy
    save_every: int = 200
    seed: int = 0
    mixed_precision: bool = True  # layers in bfloat16; fields, sums and losses in float32
    simulator: Simulator = Simulator()


class Trainer:
    """Holds what a run needs from one step to the next: network, running average, optimiser, step count."""

    def __init__(self, network: BSAFusion, settings: TrainingSettings, fabric: Fabric):
        self.settings, self.fabric = settings, fabric
        network = network.to(memory_format=torch.channels_last)  # measured on a CPU: 9 % less time a step
        fabric.seed_everything(settings.seed, verbose=False)
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
        self.average.to(fabric.device)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.step = 0

    def _rate(self, step: int) -> float:
        warm_up, steps = self.settings.warm_up, self.settings.steps
        if step < warm_up:
            return (step + 1) / warm_up
        progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
        return 0.01 + 0.99 * 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())

    def train(self, training: SlicePairs, validation: SlicePairs, folder: Path) -> None:
        """Train to `settings.steps`, from wherever this trainer stands; writes checkpoints and logs into `folder`."""
        writer = SummaryWriter(folder / "logs", purge_step=self.step)
        renewed = self.network.mdf_fr.renew_discriminator
        if self.step == 0:
            renewed()
        for step in tqdm(range(self.step + 1, self.settings.steps + 1), unit="step"):
            self.step = step
            indices = torch.randint(len(training), (self.settings.batch,))
            terms = self._learn(*training.batch(indices, self.fabric.device))
            if self.step % 10 == 0:
                writer.add_scalars("loss", {name: term.item() for name, term in terms.items()}, self.step)
            if self.step % self.settings.renew_every == 0:
                renewed()
            if self.step % self.settings.save_every == 0 or self.step == self.settings.steps:
                self.save(folder / CHECKPOINT)
                figures = validate(self.averaged, validation, self.settings, most=48)
                for name, figure in figures.items():
                    writer.add_scalar(f"validation/{name}", figure, self.step)
                tqdm.write(f"step {self.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        writer.close()

    def _learn(self, fixed: torch.Tensor, moving: torch.Tensor) -> dict[str, torch.Tensor]:
        simulator = self.settings.simulator
        if self.step <= self.settings.same_modality_steps:
            simulator = replace(simulator, same_modality=1.0)
        pairs = simulator(fixed, moving)
        fuse = self.step > self.settings.registration_steps
        self.network.train()
        # Fabric's own mixed precision would round the slices themselves to bfloat16, coarser than their grey levels.
        with torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=self.settings.mixed_precision):
            output: BSAFusionOutput = self.network(pairs.fixed, pairs.moving, fuse)
        output = in_float32(output)
        terms = {
            "classification": 0.05 * losses.classification_loss(output),
            "transfer": 0.05 * losses.transfer_loss(self.network.module, output),
            "supervision": losses.supervision_loss(output, pairs),
            "smoothness": 0.1 * losses.smoothness_loss(output),
            "registration": losses.registration_loss(output, pairs),
        }
        if fuse:
            terms["fusion"] = losses.fusion_loss(output, pairs)
        self.optimiser.zero_grad()
        self.fabric.backward(sum(terms.values()))
        self.fabric.clip_gradients(self.network, self.optimiser, max_norm=1.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network.module)
        return terms

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


def in_float32(output: BSAFusionOutput) -> BSAFusionOutput:
    """The parts of an output that losses read, in float32."""
    fixed, moving = (features._replace(logits=features.logits.float()) for features in (output.fixed, output.moving))
    fused = None if output.fused is None else output.fused.float()
    return output._replace(fused=fused, fixed=fixed, moving=moving)


@torch.no_grad()
def validate(network: BSAFusion, pairs: SlicePairs, settings: TrainingSettings, most: int | None = None) -> dict:
    """Figures on held-out patients under simulated deformations, always the same ones.

    Returns:
        Mean end-point error in pixels inside the head before and after, mean absolute difference to the truth in grey
        levels before and after, and percent of pixels whose composed field folds.
    """
    simulator = replace(settings.simulator, vary=False)
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
