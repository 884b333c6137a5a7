"""Train, simulate and evaluate: research code, which is not installed into Slicer."""
