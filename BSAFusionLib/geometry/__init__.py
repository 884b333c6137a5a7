"""Grids and displacement fields in space: resampled, composed, measured, kept from folding."""
