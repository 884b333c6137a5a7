"""A case in a process of its own: what travels there and back, and the process; knows neither Slicer nor Qt."""
