"""Train the network that finds heads, on simulated images of labeled heads; can be stopped and continued."""

import argparse
from pathlib import Path

from BSAFusionLib.errors import FusionError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--heads", type=Path, required=True, help="folder of labeled heads, 01.nii.gz to 12.nii.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint.pt, log.csv and the weights")
    parser.add_argument(
        "--hours", type=float, default=2.0, help="hours of wall time, all calls together (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=0.02,
        help="learning rate of layers' matrices (Muon); other parameters take a tenth (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    parser.add_argument(
        "--standard-head", type=Path, help="only make the standard head (.npy) again, from heads 01 to 10"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the checkpoint in --out, with its settings"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train until --hours have passed, then write `head_pose.safetensors` into the folder. Returns 0."""
    import numpy as np
    import torch

    from BSAFusionLib.files.overwriting import refuse_overwriting
    from BSAFusionResearch.pose.heads import make_standard_head
    from BSAFusionResearch.pose.train import CHECKPOINT, TrainingSettings, train

    if arguments.hours <= 0 or arguments.threads < 1:
        raise FusionError("Give more than 0 hours and at least 1 thread.")
    outputs = [arguments.out / name for name in (CHECKPOINT, "log.csv", "head_pose.safetensors")]
    refuse_overwriting(arguments.heads.glob("*.nii.gz"), [*outputs, arguments.standard_head])
    if arguments.standard_head:
        np.save(arguments.standard_head, make_standard_head(arguments.heads).round(2))
        return 0
    if (arguments.out / CHECKPOINT).exists() != arguments.resume:
        problem = "has no checkpoint to resume" if arguments.resume else "holds a checkpoint; resume it with --resume"
        raise FusionError(f"{arguments.out} {problem}, or choose another folder.")
    torch.set_num_threads(arguments.threads)
    settings = TrainingSettings(arguments.hours, arguments.learning_rate, seed=arguments.seed)
    print(f"Weights: {train(arguments.heads, arguments.out, settings, arguments.resume)}")
    return 0
