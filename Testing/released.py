"""A network of ours as its authors would have released it: what the reading of their checkpoints is tested with."""

import torch

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.released import SECTIONS, released_name


def to_released(network: BSAFusion) -> dict[str, dict[str, torch.Tensor]]:
    """A network of the published convention as the four state dicts of a released checkpoint."""
    sections: dict[str, dict[str, torch.Tensor]] = {section: {} for section in SECTIONS}
    for name, tensor in network.state_dict().items():
        section, key = released_name(name).split(".", 1)
        sections[section][key] = tensor
    return sections
