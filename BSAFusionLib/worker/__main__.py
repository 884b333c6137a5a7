"""Starts the worker: `python -m BSAFusionLib.worker`; whoever starts it speaks `protocol` to it."""

import os

if __name__ == "__main__":
    # Before NumPy is loaded, as for the commands in `BSAFusionLib/__main__.py`.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from BSAFusionLib.worker.main import main

    main()
