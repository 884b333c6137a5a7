"""Make the network that a training run begins with."""

from pathlib import Path

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.weights import load_network, load_state

OF_ONE_FUSION = ("mmff.shallow.", "mmff.reconstruction.")  # layers that the deep and the light fusion do not share


def initial_network(metadata: Metadata, weights: Path | None) -> BSAFusion:
    """Make a network to train, from weights if there are any.

    Args:
        metadata: Of the new network.
        weights: The file to begin with. If its fusion is the other one, that is begun anew, but for the blocks that
            both have.

    Raises:
        FusionError: The weights cannot be loaded, or are of the published layout.
    """
    network = BSAFusion(metadata)
    if weights is None:
        return network
    given = load_network(weights)
    tensors = given.state_dict()
    if given.metadata.fusion != metadata.fusion:
        own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(OF_ONE_FUSION)}
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(OF_ONE_FUSION)} | own
    load_state(network, tensors, weights)
    return network
