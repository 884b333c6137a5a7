"""Measure how well volumes are aligned and fused where the truth is known."""
