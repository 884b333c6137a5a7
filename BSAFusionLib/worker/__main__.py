"""Starts the worker: `python -m BSAFusionLib.worker`; whoever starts it speaks `protocol` to it."""

from BSAFusionLib.worker.threads import wait_patiently

if __name__ == "__main__":
    wait_patiently()
    from BSAFusionLib.worker.main import main

    main()
