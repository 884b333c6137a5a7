"""Volumes from DICOM, where they lie in space and in their own units, and nothing of whose they are."""
