"""Tells which registration steps have died: their units are zero for every slice, so they learn nothing any more."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from BSAFusionLib.network.bsfa import CorrelationStep


@contextmanager
def watched_steps(network: nn.Module) -> Iterator[dict[str, bool]]:
    """Watch the steps of a network while it registers.

    A step whose joined maps are nowhere above zero answers with a constant, and its convolutions have no gradient.

    Args:
        network: With any number of `CorrelationStep`s.

    Yields:
        By the name of each step that has registered something, whether one of its units was above zero anywhere.
    """
    alive: dict[str, bool] = {}

    def watch(name: str, step: CorrelationStep) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, __: tuple, joined: torch.Tensor) -> None:
            alive[name] = alive.get(name, False) or bool((joined > 0).any())

        return step.joining.register_forward_hook(note)

    steps = [(name, module) for name, module in network.named_modules() if isinstance(module, CorrelationStep)]
    handles = [watch(name, step) for name, step in steps]
    try:
        yield alive
    finally:
        for handle in handles:
            handle.remove()
