"""Training, simulation and evaluation: the research code, which is not installed into Slicer."""
