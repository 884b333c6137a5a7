"""Train the network on aligned slice pairs, deformed at random, on one process or on those of torchrun."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json
from BSAFusionLib.errors import FusionError
from BSAFusionLib.files.overwriting import refuse_overwriting
from BSAFusionLib.files.texts import write_json
from BSAFusionLib.modalities import MODALITIES
from BSAFusionLib.network.weights_file import card_of, sha256

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from BSAFusionLib.network.bsafusion import BSAFusion
    from BSAFusionResearch.training.slice_pairs import SlicePairs
    from BSAFusionResearch.training.trainer import Trainer, TrainingSettings

FOLD_CHOICES = ("0", "1", "2", "3", "4", "none")
EPILOG = """On N GPUs of this machine, or on N processes with --device cpu:

  .venv/bin/torchrun --nproc_per_node N -m BSAFusionLib train --data DIR ...

On several machines add --nnodes, --node_rank and --rdzv_endpoint, as torchrun --help explains. --batch counts the pairs
of all processes together and is a multiple of their number. A run learns the same on one process or many, up to
rounding, and may be resumed on more or fewer. The first process writes all files.
"""
NOT_RECORDED = """
The checkpoint does not record its patients: whether it was trained on those of the validation is not known."""

# Name, type, default and help of the numbers that a run is described by.
NUMBERS = (
    ("steps", int, 6000, "steps of the registration part"),
    ("fusion-steps", int, 400, "steps of the fusion part, which follows"),
    ("brightness", float, None, "weight of the brighter pixel in fusion (default: that of the training file)"),
    ("batch", int, 8, "slice pairs a step, of all processes together"),
    ("learning-rate", float, 0.02, "learning rate of layers' matrices (Muon); other parameters take a tenth"),
    ("same-modality-steps", int, 300, "steps over which real pairs replace pairs of one modality"),
    ("same-modality", float, 0.2, "share of pairs of one modality after those steps"),
    ("plain", float, 0.0, "share of pairs shown almost unchanged"),
    ("elastic-only", float, 0.0, "share of pairs deformed without the affine part"),
    ("smallest-motion", float, 1.0, "least factor of a pair's whole motion, drawn from there up to 1"),
    ("synthetic", float, 0.3, "with --labels: share of pairs drawn from the tissue maps"),
    ("smallest-scale", float, 0.8, "smallest scale of the random views, at most 1.15"),
    ("seed", int, 0, "seed of everything random"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    files = ", ".join(f"{name}.npz" for name in MODALITIES)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help=f"folders with {files}; each is drawn from equally often"
    )
    parser.add_argument("--modality", choices=(*MODALITIES, "all"), required=True, help="modality to learn from")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, logs, weights and their card")
    for name, kind, default, text in NUMBERS:
        shown = "" if default is None else " (default: %(default)s)"
        parser.add_argument(f"--{name}", type=kind, default=default, help=text + shown)
    parser.add_argument(
        "--fusion",
        choices=("deep", "light"),
        default="deep",
        help="resolution of the last layers of fusion: full (deep) or half (light) (default: %(default)s)",
    )
    parser.add_argument("--fold", default="0", help="fold of held-out patients, 0 to 4, or none (default: %(default)s)")
    parser.add_argument("--labels", type=Path, help="tissue maps to draw synthetic pairs from")
    parser.add_argument("--initial-weights", type=Path, help="weights to train further, safetensors")
    parser.add_argument(  # the name of that option in earlier versions
        "--start", type=Path, dest="initial_weights", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    parser.add_argument("--resume", type=Path, help="checkpoint.pt of a run to continue, with its data and settings")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="device (default: %(default)s)"
    )
    parser.add_argument("--full-precision", action="store_true", help="float32 throughout, no bfloat16 in the layers")
    parser.add_argument("--json", type=Path, help="write the card of the run here too")


def run(arguments: argparse.Namespace) -> int:
    """Train, then write `<modality>.safetensors` and its card into the folder; return 0.

    Raises:
        FusionError: An option is out of range, a file is missing, or an output would overwrite an input.
    """
    from BSAFusionResearch.training.processes import errors_once, launched_fabric

    fabric = launched_fabric(arguments.device)
    with errors_once(fabric):
        if arguments.steps < 0 or arguments.fusion_steps < 0 or arguments.batch < 1:
            raise FusionError("Give --steps and --fusion-steps of 0 or more, and a --batch of 1 or more.")
        if arguments.fold not in FOLD_CHOICES:
            raise FusionError(f"The fold {arguments.fold!r} is unknown; choose one of {', '.join(FOLD_CHOICES)}.")
        return _train(arguments, fabric)


def _train(arguments: argparse.Namespace, fabric: "Fabric") -> int:
    import torch

    from BSAFusionLib.network.metadata import Metadata
    from BSAFusionResearch.simulation.heads import refuse_reported
    from BSAFusionResearch.training.cards import training_of
    from BSAFusionResearch.training.initial import initial_network
    from BSAFusionResearch.training.label_slices import load_label_slices
    from BSAFusionResearch.training.processes import all_or_none
    from BSAFusionResearch.training.slice_pairs import load_pairs, record_of
    from BSAFusionResearch.training.trainer import CHECKPOINT, Trainer

    torch.set_flush_denormal(True)
    fabric.seed_everything(arguments.seed, verbose=False)
    weights = arguments.out / f"{arguments.modality}.safetensors"
    with all_or_none():
        _refuse_overwriting(arguments, weights, arguments.out / CHECKPOINT)
        arguments.out.mkdir(parents=True, exist_ok=True)
        fold = None if arguments.fold == "none" else int(arguments.fold)
        pairs = load_pairs(arguments.data, arguments.modality, fold)
        refuse_reported(patient for part in pairs for patient in part.patient.tolist())
        size = max(pairs[0].fixed.shape[-2:])
        metadata = Metadata(modality=arguments.modality, fusion=arguments.fusion, size=size)
        network = initial_network(metadata, arguments.initial_weights)
        labels = None if arguments.labels is None else load_label_slices(arguments.labels)
        settings = _settings(arguments)
    initial = arguments.initial_weights
    started_from = None if initial is None else {"file": initial.name, **training_of(initial)}
    trainer = Trainer(network, settings, fabric, started_from, record_of(arguments.fold, *pairs))
    with all_or_none():
        if arguments.resume is not None:
            trainer.resume(arguments.resume)
    if fabric.is_global_zero:
        print(_beginning(trainer, pairs), file=sys.stderr)
    trainer.train(*pairs, arguments.out, labels)
    if fabric.is_global_zero:
        _finish(arguments, trainer, weights, pairs)
    return 0


def _beginning(trainer: "Trainer", pairs: "Sequence[SlicePairs]") -> str:
    """Say where a run computes, what it learns from, and what it is validated on."""
    counts = [f"{len(part)} pairs of {len(set(part.patient.tolist()))} patients" for part in pairs]
    processes, begin = trainer.fabric.world_size, f", from step {trainer.step}" if trainer.step else ""
    remark = "" if trainer.knows_patients else NOT_RECORDED
    return (
        f"Training on {_hardware(trainer.fabric.device)}, {processes} process{'es' if processes > 1 else ''}{begin} to "
        f"step {trainer.last_step}: {counts[0]}; validation: {counts[1]}{remark}"
    )


def _refuse_overwriting(arguments: argparse.Namespace, weights: Path, checkpoint: Path) -> None:
    results = [weights, card_of(weights), arguments.json]
    inputs = [
        *(path for folder in arguments.data for path in folder.glob("*.npz")),
        arguments.labels,
        arguments.initial_weights,
    ]
    refuse_overwriting(inputs, [*results, checkpoint])
    refuse_overwriting([arguments.resume], results)  # a run continues in its own checkpoint


def _settings(arguments: argparse.Namespace) -> "TrainingSettings":
    from BSAFusionResearch.training.trainer import TrainingSettings
    from BSAFusionResearch.training.traits import brightness_of
    from BSAFusionResearch.training.unaligned_pairs import Simulator

    brightness = arguments.brightness
    return TrainingSettings(
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        same_modality_steps=arguments.same_modality_steps,
        fusion_steps=arguments.fusion_steps,
        brightness=brightness_of(arguments.modality) if brightness is None else brightness,
        synthetic=0.0 if arguments.labels is None else arguments.synthetic,
        seed=arguments.seed,
        mixed_precision=not arguments.full_precision,
        simulator=Simulator(
            scale=(arguments.smallest_scale, 1.15),
            same_modality=arguments.same_modality,
            plain=arguments.plain,
            elastic_only=arguments.elastic_only,
            smallest=arguments.smallest_motion,
        ),
    )


def _finish(arguments: argparse.Namespace, trainer: "Trainer", weights: Path, pairs: "Sequence[SlicePairs]") -> None:
    """Write weights and card, and print the figures of the validation pairs."""
    from BSAFusionLib.network.weights import load_network, save_network
    from BSAFusionResearch.training.trainer import validate

    card_of(weights).unlink(missing_ok=True)  # an earlier run's card does not describe these
    save_network(weights, trainer.averaged)
    network = load_network(weights)
    figures = validate(network, pairs[1], trainer.settings)
    card = _card(arguments, trainer, weights, network, pairs)
    card["validation"]["simulated_deformations"] = {name: round(figure, 4) for name, figure in figures.items()}
    write_json(card, card_of(weights))
    print(json.dumps(card["validation"], indent=2))
    if arguments.json:
        save_json(card, arguments.json, arguments.out)


def _card(
    arguments: argparse.Namespace,
    trainer: "Trainer",
    weights: Path,
    network: "BSAFusion",
    pairs: "Sequence[SlicePairs]",
) -> dict:
    """Describe trained weights, as make_model_cards.py and `evaluate` read it."""
    from BSAFusionResearch.training.cards import describe_validation

    training, validation = trainer.learned_from(pairs[0]), pairs[1]
    learning = {
        "pairs": len(training),
        "patients": sorted(set(training.patient.tolist())),
        "started_from": trainer.started_from,
        "settings": asdict(trainer.settings),
        "hardware": _hardware(trainer.fabric.device),
        "processes": trainer.fabric.world_size,
    }
    validated = set(validation.patient.tolist())
    return {
        "file": weights.name,
        "sha256": sha256(weights.read_bytes()),
        "convention": network.metadata.convention,
        "modality": arguments.modality,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "training": learning,
        "validation": {
            "held_out": describe_validation(arguments.fold, learning, validated),
            "pairs": len(validation),
            "patients": sorted(validated),
        },
    }


def _hardware(device: "torch.device") -> str:
    """Return the name of a device as a card has it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
