"""Where memory runs out or a GPU fails, the run continues with smaller batches or on the CPU, and says so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from BSAFusionLib.errors import FusionError
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.runner import Runner
from BSAFusionLib.pipeline.memory import check_memory
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from Testing.faults.conftest import on_posix
from Testing.network.stacks import random_stack
from Testing.phantoms import coarse_head

# Registers 16 slices at once where the process may have only so many MiB more than one at a time took.
in_little_memory = """
import json, resource, sys
import numpy as np, torch
from BSAFusionLib.network.bsafusion import BSAFusion
from BSAFusionLib.network.runner import Runner
from Testing.network.stacks import random_stack, stack_of

torch.set_num_threads(1)
torch.manual_seed(0)
network = BSAFusion().eval()
stack = random_stack(16, 192, 192)
(expected,) = Runner(network, batch_size=1).register([stack])
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
if sys.argv[2:]:
    stack = stack_of(*(np.tile(slices[:1], (1, 6, 6)) for slices in (stack.fixed, stack.moving)))
runner = Runner(network, batch_size=16)
(found,) = runner.register([stack])
print(json.dumps([runner.remarks, float(np.abs(found.mean - expected.mean).max())]))
"""


@on_posix
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN's demand is what the limit is set for")
def test_where_memory_runs_out_fewer_slices_go_through_at_once(run_program):
    finished = run_program(in_little_memory, 100)
    assert finished.returncode == 0, finished.stderr
    (remark,), difference = json.loads(finished.stdout)
    assert remark.startswith("Memory ran out on cpu; the slices were processed")
    assert difference < 1e-4


@on_posix
def test_too_little_memory_for_one_pair_of_slices_is_reported_in_one_sentence(run_program):
    finished = run_program(in_little_memory, 100, "large")
    assert "FusionError: There is not enough memory for a single pair of slices" in finished.stderr


def test_too_little_memory_for_the_volumes_is_reported_before_the_run():
    check_memory(1e6)
    if Path("/proc/meminfo").is_file():
        with pytest.raises(FusionError, match=r"need about 1000000\.0 GB of memory, but"):
            check_memory(1e15)


on_a_large_grid = """
import resource, sys
import SimpleITK as sitk
import torch
from BSAFusionLib.errors import FusionError
from BSAFusionLib.pipeline.register_and_fuse import register_and_fuse
from BSAFusionLib.settings import Settings
from Testing.phantoms import coarse_head

torch.set_num_threads(1)  # another thread would reserve more than there is left
fixed, moving = coarse_head(), coarse_head("pet")
fixed = sitk.Expand(fixed, (16, 16, 16))
settings = Settings("pet", weights=sys.argv[1], prealignment="none", device="cpu")
register_and_fuse(coarse_head(), moving, settings)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100 * 2**20,) * 2)
try:
    register_and_fuse(fixed, moving, settings)
except FusionError as error:
    print(error)
"""


@on_posix
def test_too_little_memory_for_the_volumes_is_reported_in_one_sentence(run_program, weights):
    finished = run_program(on_a_large_grid, weights)
    assert finished.stdout.startswith("Volumes of this size need about"), finished.stderr


@pytest.fixture
def lost_device(monkeypatch):
    """A device that is found, takes the network and the slices, and never gives anything back: PyTorch's own "meta"."""
    monkeypatch.setattr("BSAFusionLib.network.devices.choose_device", lambda name: torch.device("meta"))


def test_where_a_device_fails_in_the_middle_the_cpu_takes_over_and_the_report_says_so(weights, lost_device):
    settings = Settings("pet", weights=weights, prealignment="none", device="cuda")
    report = register_and_fuse(coarse_head(), coarse_head("pet"), settings).report
    assert report.device == "cpu"
    assert any(
        warning.startswith("meta failed") and "the rest ran on the CPU" in warning for warning in report.warnings
    )


def test_the_cpu_finds_what_it_would_have_found_from_the_beginning():
    torch.manual_seed(0)
    network = BSAFusion().eval()
    stack = random_stack(3, 32, 48)
    (recovered,) = Runner(network, torch.device("meta")).register([stack])
    (expected,) = Runner(network).register([stack])
    np.testing.assert_array_equal(recovered.mean, expected.mean)
    np.testing.assert_array_equal(recovered.precision, expected.precision)


def test_a_mistake_of_ours_is_not_taken_for_a_lost_device():
    with pytest.raises(ValueError, match="multiples of 16"):
        Runner(BSAFusion().eval()).register([random_stack(1, 20, 20)])
    with pytest.raises(RuntimeError):
        Runner(BSAFusion().eval().to(torch.float64)).register([random_stack(1, 32, 32)])


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")


@pytest.mark.gpu
@needs_gpu
def test_where_a_gpus_memory_runs_out_fewer_slices_go_through_at_once(run_program):
    program = """if True:
        import numpy as np, torch
        from BSAFusionLib.network.bsafusion import BSAFusion
        from BSAFusionLib.network.runner import Runner
        from Testing.network.stacks import random_stack
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(1.5 * 2**30 / total)
        runner = Runner(BSAFusion().eval(), torch.device("cuda"), 64)
        runner.register([random_stack(64, 256, 256)])
        print(runner.device, runner.remarks)
    """
    finished = run_program(program)
    assert finished.stdout.startswith("cuda"), finished.stderr
    assert "Memory ran out on cuda" in finished.stdout


@pytest.mark.gpu
@needs_gpu
def test_where_a_gpu_is_lost_in_the_middle_the_cpu_takes_over(run_program):
    program = """if True:
        import contextlib, numpy as np, torch
        from BSAFusionLib.network.bsafusion import BSAFusion
        from BSAFusionLib.network.runner import Runner
        from Testing.network.stacks import random_stack
        def lose(done, total):
            if done == 4:  # an index beyond the end makes every later call to the GPU fail
                with contextlib.suppress(RuntimeError):
                    torch.zeros(2, device="cuda")[torch.tensor([10**6], device="cuda")].cpu()
        runner = Runner(BSAFusion().eval(), torch.device("cuda"), 4, lose)
        (evidence,) = runner.register([random_stack(8, 64, 64)])
        print(runner.device, runner.remarks, np.isfinite(evidence.mean).all())
    """
    finished = run_program(program)
    assert finished.stdout.startswith("cpu ['cuda failed"), finished.stderr
