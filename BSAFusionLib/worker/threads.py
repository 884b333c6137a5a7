"""How the threads of the libraries wait for one another; imports nothing heavy."""

import os

# Busily by default, which wins microseconds where a process is alone. Where other programs run, a thread that waits
# takes the processor from the one that it waits for: one second of a run became fifteen.
PATIENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # of PyTorch's
    "OPENBLAS_NUM_THREADS": "1",  # of NumPy's and SciPy's, which have no such choice; their matrices are small here
}


def wait_patiently() -> None:
    """Let threads sleep while they wait, unless the environment says otherwise; before the libraries are loaded."""
    for variable, value in PATIENT.items():
        os.environ.setdefault(variable, value)
