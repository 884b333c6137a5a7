"""A process whose GPU was lost is told from one that may go on."""

import subprocess
import sys

import pytest
import torch

from Testing.conftest import repository


def said_by(program):
    finished = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.parametrize("imports", ["", "import torch"])
def test_a_process_that_has_used_no_gpu_goes_on(imports):
    program = f"{imports}\nfrom BSAFusionLib.worker.jobs import gpu_works\nprint(gpu_works())"
    assert said_by(program) == "True"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")
def test_a_process_that_has_lost_its_gpu_does_not_go_on():
    program = """if True:
        import contextlib, torch
        from BSAFusionLib.worker.jobs import gpu_works
        torch.ones(1, device="cuda")
        print(gpu_works())
        with contextlib.suppress(RuntimeError):  # an index beyond the end makes every later call to the GPU fail
            torch.zeros(2, device="cuda")[torch.tensor([10**6], device="cuda")].cpu()
        print(gpu_works())
    """
    assert said_by(program).split() == ["True", "False"]
