"""The network as it was published: its layout, its sampling and the key names of the released checkpoints."""
