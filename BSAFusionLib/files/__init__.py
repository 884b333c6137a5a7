"""Volumes and transforms read from files and written to them."""
