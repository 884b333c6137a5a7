"""The network as it is used, not trained."""
