"""Measure the network on slices kept from training, deformed at random, so that the true field is known."""

from collections.abc import Iterator

import numpy as np
import torch
from kornia.filters import sobel

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.evaluation.folding import folded_percent
from BSAFusionResearch.training.slice_pairs import SlicePairs
from BSAFusionResearch.training.unaligned_pairs import Simulator, UnalignedPairs

EDGE_SHARE = 0.2
"""Share of the head's pixels, those of the steepest gradients, that count as edges."""

TITLES = {
    "end_point_error": "end-point error in the head, pixels",
    "end_point_error_edges": "at edges",
    "end_point_error_flat": "in flat tissue",
    "motion_error": "of the motion, against the estimate for the undeformed slices",
    "undeformed_error": "estimated for the undeformed slices, where the truth is zero",
    "simulated_difference": "difference to truth, gray levels",
    "simulated_folded_percent": "folded, %",
}
OURS_ONLY = ("motion_error", "undeformed_error", "simulated_folded_percent")
"""Measures that nothing but an estimated field has."""


def unaligned_pairs(pairs: SlicePairs, device: torch.device, most: int | None = None) -> Iterator[UnalignedPairs]:
    """Yield each pair by itself (N = 1), deformed as for training, with views and intensities unchanged.

    Args:
        pairs: Aligned pairs.
        device: Where they are made.
        most: Upper bound of the pairs, evenly spread over all.
    """
    simulator = Simulator(vary=False)
    chosen = torch.linspace(0, len(pairs) - 1, min(most or len(pairs), len(pairs))).round().long()
    for index in chosen:
        with torch.random.fork_rng():
            torch.manual_seed(int(index))  # a slice is always deformed the same
            made = simulator(*pairs.batch(index[None], device))
        yield made


@torch.inference_mode()
def measure(network: FusionNetwork, pairs: SlicePairs) -> dict[str, dict[str, np.ndarray]]:
    """Measure a network on each pair.

    The end-point error is the mean distance in pixels between the estimated and the true field inside the head. The
    slices were aligned by hand or by other programs, so part of an estimate is their own misalignment: the error of the
    motion leaves out what the network also estimates for the undeformed slices.

    Returns:
        Values (N,) by measure, a key of `TITLES`, and version, `before` and `ours`.
    """
    values: dict[str, dict[str, list[float]]] = {name: {"before": [], "ours": []} for name in TITLES}
    for name in OURS_ONLY:
        del values[name]["before"]
    for made in unaligned_pairs(pairs, next(network.parameters()).device):
        field, undeformed = (network(made.fixed, moving, False).field for moving in (made.moving, made.aligned))
        head = made.inside[0, 0] > 0
        edges = edges_of(made.fixed, head) | edges_of(made.aligned, head)
        fields, moving = {"before": torch.zeros_like(field), "ours": field}, {"before": made.moving}
        moving["ours"] = network.warp(made.moving, field)
        for version in ("before", "ours"):
            errors = torch.linalg.vector_norm(fields[version] - made.field, dim=1)[0]
            for name, region in (("", head), ("_edges", edges), ("_flat", head & ~edges)):
                values[f"end_point_error{name}"][version].append(errors[region].mean().item())
            difference = (moving[version] - made.aligned).abs().mean().item()
            values["simulated_difference"][version].append(255 * difference)
        motion = undeformed + warp(made.field, undeformed)  # the undeformed estimate acts first, then the true field
        for name, error in (("motion_error", field - motion), ("undeformed_error", undeformed)):
            values[name]["ours"].append(torch.linalg.vector_norm(error, dim=1)[0][head].mean().item())
        values["simulated_folded_percent"]["ours"].append(folded_percent(field[0].cpu().numpy()))
    return {name: {version: np.array(each) for version, each in row.items()} for name, row in values.items()}


def edges_of(image: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """Return where in the head the Sobel gradient of a slice is in its top fifth.

    Args:
        image: The slice (1, 1, H, W).
        head: Its head, bool (H, W).

    Returns:
        bool (H, W).
    """
    gradient = sobel(image)[0, 0]
    return head & (gradient > torch.quantile(gradient[head], 1 - EDGE_SHARE))
