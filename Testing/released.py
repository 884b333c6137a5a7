"""Writes a network as its authors released theirs, to test how their checkpoints are read."""

import torch

from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion
from BSAFusionLib.network.published.key_names import SECTIONS, released_name


def to_released(network: PublishedBSAFusion) -> dict[str, dict[str, torch.Tensor]]:
    """Return a network's weights as the four state dicts of a released checkpoint."""
    sections: dict[str, dict[str, torch.Tensor]] = {section: {} for section in SECTIONS}
    for name, tensor in network.state_dict().items():
        section, key = released_name(name).split(".", 1)
        sections[section][key] = tensor
    return sections
