"""The commands of run.py that research needs, one file each."""
