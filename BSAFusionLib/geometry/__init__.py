"""Displacement fields in space: composed, scaled, measured, kept from folding."""
