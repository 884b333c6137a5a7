"""Registers a cohort with workers that a queue starts as jobs: SLURM, PBS, SGE and others, by dask-jobqueue.

From the folder of run.py, in its environment:

    .venv/bin/python -m pip install dask-jobqueue
    PYTHONPATH=. .venv/bin/python Documentation/jobqueue.py SLURM 20 COHORT --out DIR [options of batch]

The first argument names the queue; `Local` starts the jobs on this machine, to try it. The second is how many jobs.
Account, partition and the like are read from dask-jobqueue's own settings, ~/.config/dask/jobqueue.yaml.
"""

import sys

import dask_jobqueue
from dask_jobqueue.local import LocalCluster

from BSAFusionLib.__main__ import main

JOB = {"cores": 1, "processes": 1, "memory": "6GB"}  # a case at a time, on one thread


def run(queue: str, jobs: str, arguments: list[str]) -> int:
    """Start the jobs, give them the cases, and end them; return the exit status of `batch`."""
    details = {} if queue == "Local" else {"walltime": "04:00:00"}
    kind = LocalCluster if queue == "Local" else getattr(dask_jobqueue, f"{queue}Cluster")
    with kind(**JOB, **details) as cluster:
        cluster.scale(jobs=int(jobs))
        return main(["batch", *arguments, "--scheduler", cluster.scheduler_address])


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
