"""Fits how far a network's evidence can be trusted, on simulated patients whose truth is exact."""
