"""Simulates patients from labelled heads: an MRI and a CT, PET or SPECT of one person, with exact truth."""
