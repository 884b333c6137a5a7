"""Train the network's weights."""
