"""Commands of run.py for research, one file each."""
