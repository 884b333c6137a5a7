"""Compare other engines with our inference form on the CPU: `python Testing/benchmarks/engines.py ENGINE ...`.

ENGINE is torch.compile (which needs a C++ compiler), onnxruntime or openvino; the latter two read what onnx and
onnxscript write of the network, so their packages must be installed, too. Slices of random values are fused, by the
shipped PET weights or by the published layout with random ones; registration is left out, since ONNX has no operation
that solves linear equations. A row has the CPU seconds of preparing the engine (those of writing ONNX apart), the CPU
milliseconds a pair, how many times as fast as our inference form in the same precision it is (the median of repetitions
in which both have their turn, with the least and the greatest), and the largest and the mean difference of fused values
from our inference form in float32.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import torch

repository = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(repository))

from BSAFusionLib.network.bsafusion import BSAFusion  # noqa: E402
from BSAFusionLib.network.fast.form import PRECISIONS, inference_form  # noqa: E402
from BSAFusionLib.network.weights import load_network  # noqa: E402
from BSAFusionLib.resources import MODELS  # noqa: E402
from BSAFusionResearch.evaluation.speed import random_forms  # noqa: E402
from BSAFusionResearch.evaluation.tables import markdown_table  # noqa: E402

Pair = list[torch.Tensor]
Ready = Callable[[Pair], np.ndarray]  # a pair to the first of what is answered


class Fusion(torch.nn.Module):
    """The fusion of a network as a module of its own."""

    def __init__(self, network: BSAFusion):
        super().__init__()
        self.network = network

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        return self.network.fuse(fixed, moving)


def compiled(module: Fusion, pair: Pair, precision: str, threads: int) -> Ready:
    import torch._inductor.config as inductor

    inductor.freezing = True  # weights are packed beforehand
    faster = torch.compile(module)

    def run(pair: Pair) -> np.ndarray:
        with torch.autocast("cpu", PRECISIONS[precision], enabled=precision != "float32"):
            return faster(*pair).float().numpy()

    run(pair)
    return run


def by_onnxruntime(module: Fusion, pair: Pair, precision: str, threads: int) -> Ready:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported(module, *pair), options, ["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda pair: session.run(None, dict(zip(names, (each.numpy() for each in pair), strict=True)))[0]


def by_openvino(module: Fusion, pair: Pair, precision: str, threads: int) -> Ready:
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": {"float32": "f32"}.get(precision, "bf16")}
    core = openvino.Core()
    model = core.compile_model(core.read_model(BytesIO(exported(module, *pair))), "CPU", hints)
    return lambda pair: model([each.numpy() for each in pair])[0]


@cache
def exported(module: Fusion, *pair: torch.Tensor) -> bytes:
    """Return a module as ONNX, written once for all engines."""
    return torch.onnx.export(module, pair, dynamo=True, verbose=False).model_proto.SerializeToString()


def as_ready(module: Fusion) -> Ready:
    return lambda pair: module(*pair).numpy()


engines = {"torch.compile": compiled, "onnxruntime": by_onnxruntime, "openvino": by_openvino}


@torch.no_grad()
def measured(convention: str, batch: int, arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Yield a row an engine and precision."""
    if convention == "exact":
        trained = load_network(MODELS / "pet.safetensors").eval()
    else:
        trained = random_forms(torch.device("cpu"))["published graph"]
    torch.manual_seed(0)
    pair = [torch.rand(batch, 1, arguments.side, arguments.side) for _ in range(2)]
    truth = as_ready(Fusion(inference_form(trained)))(pair)
    module = Fusion(trained).eval()
    if set(arguments.engines) - {"torch.compile"}:
        begun = time.process_time()
        exported(module, *pair)
        print(f"Written as ONNX in {time.process_time() - begun:.0f} s.", file=sys.stderr)
    for precision, engine in product(arguments.precisions, arguments.engines):
        if (engine, precision) == ("onnxruntime", "bfloat16"):
            continue  # its CPU engine has no convolutions in that
        ours = as_ready(Fusion(inference_form(trained, PRECISIONS[precision])))
        begun = time.process_time()
        theirs = engines[engine](module, pair, precision, arguments.threads)
        ready = time.process_time() - begun
        off = np.abs(theirs(pair) - truth)
        taken = np.array([[clocked(run, pair) for run in (ours, theirs)] for _ in range(arguments.repetitions)])
        ratio = taken[:, 0] / taken[:, 1]
        yield [
            *(engine, convention, str(batch), precision, f"{ready:.0f}"),
            *(f"{1000 * each / batch:.0f}" for each in np.median(taken, axis=0)),
            f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})",
            *(f"{each:.1e}" for each in (off.max(), off.mean())),
        ]


def clocked(run: Ready, pair: Pair) -> float:
    begun = time.process_time()
    run(pair)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="+", choices=list(engines))
    parser.add_argument("--conventions", nargs="+", default=["exact", "published"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4], help="slice pairs at once")
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=list(PRECISIONS))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=256, help="of the slices, in pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    header = ["engine", "network", "at once", "precision", "CPU s to make ready", "ours, ms", "theirs, ms"]
    print(markdown_table([*header, "times as fast", "largest difference", "mean"], []), flush=True)
    for convention, batch in product(arguments.conventions, arguments.batches):
        for row in measured(convention, batch, arguments):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
