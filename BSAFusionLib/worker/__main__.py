"""Starts the worker: `python -m BSAFusionLib.worker`; whoever starts it speaks `protocol` to it."""

from BSAFusionLib.worker.main import main

if __name__ == "__main__":
    main()
