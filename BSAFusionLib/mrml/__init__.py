"""Slicer's scene: volumes, transforms and their display as MRML nodes, and the logic that fills them."""
