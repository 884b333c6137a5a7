"""Compare the published layout with recorded values of the published network, with weights made from their names.

It computes in float64, so that the differences are the recording's own float32 rounding alone.
"""

import argparse
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.bsfa import sum_of_steps
from BSAFusionLib.network.published.key_names import released_name

TOLERANCE = 1e-4
"""Largest difference, as a share of an array's largest value where that is above 1, as float32 is no finer."""

FIELD_TOLERANCE_PX = 1e-3


def deterministic_weight(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Make a weight from its name alone.

    Args:
        name: Full key in a released checkpoint.
        shape: Shape of the weight.
        salt: Text before the name, for other weights.

    Returns:
        float32 of that shape.
    """
    generator = np.random.default_rng(zlib.crc32((salt + name).encode()))
    drawn = generator.standard_normal(shape).astype(np.float32)
    last = name.rsplit(".", 1)[-1]
    if "norm" in name:
        return (1 + 0.1 * drawn) if last == "weight" else 0.05 * drawn
    if last == "bias":
        return 0.05 * drawn
    if "position_embedding" in name or "cls" in last:
        return 0.1 * drawn
    gain = 0.02 if "flow_output" in name else 1.0
    return (gain * drawn / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def deterministic_network(salt: str = "") -> PublishedBSAFusion:
    """Return the published layout with `deterministic_weight` throughout, in evaluation mode, float64."""
    network = PublishedBSAFusion().eval().double()
    network.load_state_dict(
        {
            name: torch.from_numpy(deterministic_weight(released_name(name), tuple(tensor.shape), salt))
            for name, tensor in network.state_dict().items()
        }
    )
    return network


@torch.no_grad()
def computed_values(network: PublishedBSAFusion, fixed: np.ndarray, moving: np.ndarray) -> dict[str, np.ndarray]:
    """Return every recorded quantity, by its recorded name, for one slice pair (H, W) in [0, 1]."""
    fixed_slice, moving_slice = (torch.from_numpy(array)[None, None].double() for array in (fixed, moving))
    output = network(fixed_slice, moving_slice)
    size = fixed_slice.shape[-2:]
    values = {
        "encoder_shallow_fixed": output.registration.fixed.maps[0],
        "encoder_deep_fixed": output.registration.fixed.maps[-1],
        "class_logits_fixed": output.fixed_logits,
        "class_logits_moving": output.moving_logits,
        "transfer_logits_fixed": network.mdf_fr.discriminate(output.registration.fixed),
        "transfer_logits_moving": network.mdf_fr.discriminate(output.registration.moving),
        "transfer_tokens_fixed": rearrange(output.registration.fixed.transferred, "n c h w -> n (h w) c"),
        "transfer_tokens_moving": rearrange(output.registration.moving.transferred, "n c h w -> n (h w) c"),
        "flow_composed": output.field,
        "flow_neg": sum_of_steps(output.registration.forward_fields, size),
        "flow_pos": sum_of_steps(output.registration.reverse_fields, size),
        "fused": output.fused[:, 0],
        "warped_moving": network.warp(moving_slice, output.field)[:, 0],
    }
    for level, (ahead, back) in enumerate(
        zip(output.registration.forward_fields, output.registration.reverse_fields, strict=True)
    ):
        values[f"stage_flow_{2 * level + 1}"] = ahead
        values[f"stage_flow_{2 * level + 2}"] = back
    return {name: value[0].numpy() for name, value in values.items()}


def differences(network: PublishedBSAFusion, expected: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return the largest absolute difference and the allowed one for every recorded array but the two slices.

    Args:
        network: From `deterministic_network`, of the recording's salt.
        expected: Recorded arrays by name, with `fixed` and `moving`.

    Raises:
        KeyError: A recorded array is of no quantity that is known here.
        ValueError: A recorded array has another shape than the computed one.
    """
    computed = computed_values(network, expected["fixed"], expected["moving"])
    rows = {}
    for name in sorted(set(expected) - {"fixed", "moving"}):
        if computed[name].shape != expected[name].shape:
            raise ValueError(f"{name} is recorded as {expected[name].shape}, computed as {computed[name].shape}")
        allowed = FIELD_TOLERANCE_PX if "flow" in name else TOLERANCE * max(1.0, float(np.abs(expected[name]).max()))
        rows[name] = (float(np.abs(computed[name] - expected[name]).max()), allowed)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Print a row an array, and return 0 if all agree, else 1."""
    parser = argparse.ArgumentParser(prog="python -m BSAFusionResearch.parity", description=__doc__)
    parser.add_argument("expected", type=Path, help="recorded values, an .npz with `fixed` and `moving`")
    parser.add_argument("--salt", default="", help="text before each key when its weight is made")
    parsed = parser.parse_args(arguments)
    with np.load(parsed.expected, allow_pickle=False) as recorded:
        rows = differences(deterministic_network(parsed.salt), dict(recorded))
    for name, (difference, allowed) in rows.items():
        print(f"{name:24} {difference:.2e} (allowed {allowed:.0e}) {'agrees' if difference <= allowed else 'DIFFERS'}")
    return 0 if all(difference <= allowed for difference, allowed in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
