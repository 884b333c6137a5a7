"""MRML: volumes and transforms as nodes of Slicer's scene, their display, and the logic that fills them."""
