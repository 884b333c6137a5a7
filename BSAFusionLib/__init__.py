"""Everything BSAFusion does, as plain Python; importing it loads neither torch nor Slicer."""

version = "0.4.0"
