"""Trains the network on aligned slice pairs, deformed at random, on one process or on those of torchrun."""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.commands._case import save_json, write_json
from BSAFusionLib.errors import FusionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

several = """On N GPUs of this machine, or on N processes with --device cpu:

  .venv/bin/torchrun --nproc_per_node N -m BSAFusionLib train --data DIR ...

On several machines also --nnodes, --node_rank and --rdzv_endpoint, as torchrun --help says. --batch is that of all
processes together, a multiple of their number; a run learns the same on one process or many, but for rounding, and one
may be resumed on more or fewer. The first process writes everything.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = several
    parser.add_argument("--data", type=Path, required=True, help="folder with ct.npz, pet.npz, spect.npz")
    parser.add_argument(
        "--modality", choices=("ct", "pet", "spect", "all"), required=True, help="which of them to learn from"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, logs, weights and their card")
    parser.add_argument("--steps", type=int, default=6000, help="steps of the registration part")
    parser.add_argument("--fusion-steps", type=int, default=400, help="steps of the fusion part, after them")
    parser.add_argument("--brightness", type=float, help="weight of the brighter pixel in fusion; default by modality")
    parser.add_argument("--batch", type=int, default=8, help="slice pairs a step, of all processes together")
    parser.add_argument("--learning-rate", type=float, default=0.02, help="of layers' matrices (Muon); others a tenth")
    parser.add_argument("--same-modality-steps", type=int, default=300, help="steps over which real pairs come in")
    parser.add_argument("--same-modality", type=float, default=0.2, help="share of such pairs after those steps")
    parser.add_argument("--fold", default="0", help="which fifth of the patients is held out, 0 to 4, or none")
    parser.add_argument("--plain", type=float, default=0.0, help="share of pairs that are shown almost as they are")
    parser.add_argument("--elastic-only", type=float, default=0.0, help="share of pairs moved without the affine part")
    parser.add_argument("--labels", type=Path, help="tissue maps to draw some of the pairs from")
    parser.add_argument("--synthetic", type=float, default=0.3, help="share of pairs drawn from them")
    parser.add_argument("--smallest-scale", type=float, default=0.8, help="how far views zoom out, at most 1.15")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    parser.add_argument("--start", type=Path, help="weights to begin from, safetensors")
    parser.add_argument("--resume", type=Path, help="checkpoint.pt of an earlier run to go on from")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: auto")
    parser.add_argument("--full-precision", action="store_true", help="float32 throughout, no bfloat16 in the layers")
    parser.add_argument("--json", type=Path, help="write the card of the run here too")


def run(arguments: argparse.Namespace) -> int:
    """Train, then write `<modality>.safetensors` and its card into the folder. Returns 0."""
    from BSAFusionResearch.training.processes import launched_fabric, one_speaks

    fabric = launched_fabric(arguments.device)
    with one_speaks(fabric):
        if arguments.steps < 0 or arguments.fusion_steps < 0 or arguments.batch < 1:
            raise FusionError("Steps must not be negative, and the batch at least 1.")
        if arguments.fold not in ("0", "1", "2", "3", "4", "none"):
            raise FusionError(f"The fold is 0, 1, 2, 3, 4 or none, not {arguments.fold!r}.")
        return _train(arguments, fabric)


def _train(arguments: argparse.Namespace, fabric: "Fabric") -> int:
    import numpy as np
    import torch

    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionLib.network.bsafusion import BSAFusion
    from BSAFusionLib.network.metadata import Metadata
    from BSAFusionLib.network.weights import load_network, load_state, save_network, sha256
    from BSAFusionResearch.training.cards import training_of
    from BSAFusionResearch.training.label_slices import load_label_slices
    from BSAFusionResearch.training.processes import all_or_none
    from BSAFusionResearch.training.slice_pairs import load_pairs
    from BSAFusionResearch.training.trainer import CHECKPOINT, Trainer, TrainingSettings, validate
    from BSAFusionResearch.training.unaligned_pairs import Simulator

    torch.set_flush_denormal(True)
    fabric.seed_everything(arguments.seed, verbose=False)
    weights, checkpoint = arguments.out / f"{arguments.modality}.safetensors", arguments.out / CHECKPOINT
    results = [weights, weights.with_suffix(".json"), arguments.json]
    with all_or_none():
        refuse_overwriting([*arguments.data.glob("*.npz"), arguments.labels, arguments.start], [*results, checkpoint])
        refuse_overwriting([arguments.resume], results)  # a run goes on in its own checkpoint
        arguments.out.mkdir(parents=True, exist_ok=True)
        training, validation = load_pairs(
            arguments.data, arguments.modality, None if arguments.fold == "none" else int(arguments.fold)
        )
        network = BSAFusion(Metadata(modality=arguments.modality))
        if arguments.start is not None:
            load_state(network, load_network(arguments.start).state_dict(), arguments.start)
        labels = None if arguments.labels is None else load_label_slices(arguments.labels)
    settings = TrainingSettings(
        steps=arguments.steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        same_modality_steps=arguments.same_modality_steps,
        fusion_steps=arguments.fusion_steps,
        brightness=(3.0 if arguments.modality == "ct" else 0.1)
        if arguments.brightness is None
        else arguments.brightness,
        synthetic=0.0 if arguments.labels is None else arguments.synthetic,
        seed=arguments.seed,
        mixed_precision=not arguments.full_precision,
        simulator=Simulator(
            scale=(arguments.smallest_scale, 1.15),
            same_modality=arguments.same_modality,
            plain=arguments.plain,
            elastic_only=arguments.elastic_only,
        ),
    )
    trainer = Trainer(network, settings, fabric)
    with all_or_none():
        if arguments.resume is not None:
            trainer.resume(arguments.resume)
    trainer.train(training, validation, arguments.out, labels)
    if not fabric.is_global_zero:
        return 0

    weights.with_suffix(".json").unlink(missing_ok=True)  # an earlier run's card does not describe these
    save_network(weights, trainer.averaged)
    figures = validate(load_network(weights), validation, settings)
    if settings.synthetic == 1 and settings.fusion_steps == 0:  # tissue maps alone: no patient was seen
        training = training.where(np.zeros(len(training), bool))
    card = {
        "file": weights.name,
        "sha256": sha256(weights.read_bytes()),
        "convention": network.metadata.convention,
        "modality": arguments.modality,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "training": {
            "pairs": len(training),
            "patients": sorted({int(patient) for patient in training.patient}),
            "started_from": arguments.start and {"file": arguments.start.name, **training_of(arguments.start)},
            "settings": asdict(settings),
            "hardware": hardware(fabric.device),
            "processes": fabric.world_size,
        },
        "validation": {
            "held_out": "slices of patients that were trained on"
            if arguments.fold == "none"
            else f"patients, fold {arguments.fold}",
            "pairs": len(validation),
            "patients": sorted({int(patient) for patient in validation.patient}),
            "simulated_deformations": {name: round(figure, 4) for name, figure in figures.items()},
        },
    }
    write_json(card, weights.with_suffix(".json"))
    if arguments.json:
        save_json(card, arguments.json)
    print(json.dumps(card["validation"], indent=2))
    return 0


def hardware(device) -> str:
    """What the weights are made on, in words."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
