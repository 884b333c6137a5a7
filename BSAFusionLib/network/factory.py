"""Makes the network that a checkpoint's metadata asks for."""

from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.interface import FusionNetwork
from BSAFusionLib.network.metadata import Metadata
from BSAFusionLib.network.published.bsafusion import PublishedBSAFusion

LAYOUTS: dict[str, type[BSAFusion] | type[PublishedBSAFusion]] = {
    layout.convention: layout for layout in (BSAFusion, PublishedBSAFusion)
}


def make_network(metadata: Metadata) -> FusionNetwork:
    """Make the network of the metadata's convention, with untrained weights.

    Returns:
        A network on the CPU, in training mode.
    """
    return LAYOUTS[metadata.convention](metadata)
