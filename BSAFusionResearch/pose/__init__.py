"""Training of the network that finds heads."""
