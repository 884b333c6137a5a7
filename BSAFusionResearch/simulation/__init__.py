"""Simulates patients from labeled heads: an MRI and a CT, PET or SPECT of one person, with exact truth."""
