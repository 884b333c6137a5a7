"""Measures registration on simulated patients whose truth is exact, from the heads that nothing was chosen on."""
