"""Tests, a folder for each room of the house, and `harness`, on which the panel is tested."""
