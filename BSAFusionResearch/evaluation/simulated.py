"""Our network on slices kept from training, deformed at random, so that the true field is known."""

from collections.abc import Iterator

import numpy as np
import torch
from kornia.filters import sobel

from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.sampling import warp
from BSAFusionResearch.evaluation.folding import folded_percent
from BSAFusionResearch.training.slice_pairs import SlicePairs
from BSAFusionResearch.training.unaligned_pairs import Simulator, UnalignedPairs

edge_share = 0.2  # of the head: where a slice's gradient is in its top fifth there is an edge

titles = {
    "end_point_error": "end-point error in the head, pixels",
    "end_point_error_edges": "at edges",
    "end_point_error_flat": "in flat tissue",
    "motion_error": "of the motion, against what is found in the slices undeformed",
    "undeformed_error": "found in the slices undeformed, where nothing should be",
    "simulated_difference": "difference to truth, grey levels",
    "simulated_folded_percent": "folded, %",
}


def unaligned_pairs(pairs: SlicePairs, device: torch.device, most: int | None = None) -> Iterator[UnalignedPairs]:
    """Each pair by itself (N = 1), deformed as for training, views and intensities as they are; `most` of them, evenly
    spread."""
    simulator = Simulator(vary=False)
    chosen = torch.linspace(0, len(pairs) - 1, min(most or len(pairs), len(pairs))).round().long()
    for index in chosen:
        with torch.random.fork_rng():
            torch.manual_seed(int(index))  # a slice is always deformed the same
            made = simulator(*pairs.batch(index[None], device))
        yield made


@torch.inference_mode()
def measure(network: FusionNetwork, pairs: SlicePairs) -> dict[str, dict[str, np.ndarray]]:
    """A measure's value for each pair, (N,), by measure and then `before` and `ours`.

    The end-point error is the mean distance in pixels between found and true field inside the head. Edges are where the
    gradient of either aligned slice is in the top fifth of its values in the head, flat tissue is the rest of it.

    The slices were aligned by hand or by other programs, and what the network finds in them as they are is partly their
    own: the error of the motion leaves out what it finds in both.
    """
    values: dict[str, dict[str, list[float]]] = {name: {"before": [], "ours": []} for name in titles}
    for name in ("motion_error", "undeformed_error", "simulated_folded_percent"):
        del values[name]["before"]
    for made in unaligned_pairs(pairs, next(network.parameters()).device):
        field, undeformed = (network(made.fixed, each, False).field for each in (made.moving, made.aligned))
        head = made.inside[0, 0] > 0
        edges = edges_of(made.fixed, head) | edges_of(made.aligned, head)
        fields, moving = {"before": torch.zeros_like(field), "ours": field}, {"before": made.moving}
        moving["ours"] = network.warp(made.moving, field)
        for version in ("before", "ours"):
            errors = torch.linalg.vector_norm(fields[version] - made.field, dim=1)[0]
            for name, where in (("", head), ("_edges", edges), ("_flat", head & ~edges)):
                values[f"end_point_error{name}"][version].append(errors[where].mean().item())
            difference = (moving[version] - made.aligned).abs().mean().item()
            values["simulated_difference"][version].append(255 * difference)
        motion = undeformed + warp(made.field, undeformed)  # first there, then where it was deformed to
        for name, left in (("motion_error", field - motion), ("undeformed_error", undeformed)):
            values[name]["ours"].append(torch.linalg.vector_norm(left, dim=1)[0][head].mean().item())
        values["simulated_folded_percent"]["ours"].append(folded_percent(field[0].cpu().numpy()))
    return {name: {version: np.array(each) for version, each in row.items()} for name, row in values.items()}


def edges_of(image: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """Where in the head (H, W) the Sobel gradient of a slice (1, 1, H, W) is in the top fifth; bool (H, W)."""
    gradient = sobel(image)[0, 0]
    return head & (gradient > torch.quantile(gradient[head], 1 - edge_share))
