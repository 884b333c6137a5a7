"""Fits and tests the rule that calls a result doubtful, on simulated heads."""
