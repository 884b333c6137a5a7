"""The steps from two volumes to the fused one; importing this loads neither torch nor Slicer."""
