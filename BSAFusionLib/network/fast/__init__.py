"""The inference form of the network: the same answers from fewer and larger operations."""
