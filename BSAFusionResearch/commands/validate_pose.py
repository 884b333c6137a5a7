"""Measure the network that finds heads: errors on pairs, upright and turned, and how often it finds heads."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from BSAFusionLib.errors import FusionError

if TYPE_CHECKING:
    from BSAFusionLib.head_pose.search import HeadPose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--heads", type=Path, required=True, help="folder of labeled heads, 01.nii.gz and on")
    parser.add_argument(
        "--numbers", nargs="+", default=["11", "12"], help="numbers of the heads to measure on (default: 11 12)"
    )
    parser.add_argument(
        "--weights", type=Path, help="weights, or a training's checkpoint.pt (default: the shipped ones)"
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=10,
        help="upright pairs of each modality, and as many turned ones (default: %(default)s)",
    )
    parser.add_argument("--without-head", type=int, default=40, help="volumes that hold no head (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables. Returns 0."""
    import numpy as np
    import torch

    from BSAFusionLib.head_pose.weights import SHIPPED_WEIGHTS
    from BSAFusionResearch.pose.heads import STANDARD_FILE, load_head
    from BSAFusionResearch.pose.validate import measure, measure_without_head, read_network
    from BSAFusionResearch.simulation.heads import head_files

    files = head_files(arguments.heads, tuple(arguments.numbers))
    if arguments.pairs < 1:
        raise FusionError(f"--pairs must be at least 1, not {arguments.pairs}.")
    torch.set_num_threads(1)
    network = read_network(arguments.weights or SHIPPED_WEIGHTS)
    heads = [load_head(path, STANDARD_FILE) for path in files]
    print("Error of the rigid motion between MRI and moving image, mean over the brain, mm")
    print("modality    turned  pairs  median  90 %  under 3 mm  under 10 mm  found  24 turns  seconds")
    right, wrong = [], []
    for kind in measure(network, heads, arguments.pairs):
        shares = [100 * np.mean(kind.errors < limit) for limit in (3, 10)]
        found = 100 * np.mean([pose.found for pose in kind.poses])
        searched = 100 * np.mean([pose.turns > 1 for pose in kind.poses])
        turned = "yes" if kind.turned else "no"
        print(
            f"{kind.modality:11s} {turned:6s} {len(kind.errors):6d} {np.median(kind.errors):7.2f}"
            f" {np.quantile(kind.errors, 0.9):5.1f} {shares[0]:9.0f} % {shares[1]:10.0f} % {found:4.0f} %"
            f" {searched:7.0f} % {kind.seconds:8.2f}",
            flush=True,
        )
        for error, pose in zip(kind.errors, kind.poses, strict=True):
            (right if error < 10 else wrong).append(pose)
    print("\n                      volumes  found  agreeing brain, ml      residual, mm     spread, mm   (5, 50, 95 %)")
    print_poses("right within 10 mm", right)
    print_poses("wrong by over 10 mm", wrong)
    print_poses("no head", measure_without_head(network, heads[0], arguments.without_head))
    return 0


def print_poses(name: str, poses: list["HeadPose"]) -> None:
    """Print how many poses were taken for a head, and the quantiles of what that is decided by."""
    import numpy as np

    if not poses:
        print(f"{name:21s} {0:7d}")
        return
    figures = [
        np.quantile(np.minimum([getattr(pose, name) for pose in poses], 9999), (0.05, 0.5, 0.95))
        for name in ("brain_ml", "residual_mm", "spread_mm")
    ]
    brain, residual, spread = (
        " ".join(f"{value:5.{d}f}" for value in f) for f, d in zip(figures, (0, 1, 1), strict=True)
    )
    print(f"{name:21s} {len(poses):7d} {sum(pose.found for pose in poses):6d}  {brain}  {residual}  {spread}")
