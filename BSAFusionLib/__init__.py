"""Everything BSAFusion does, as plain Python; importing it loads neither torch nor Slicer."""
