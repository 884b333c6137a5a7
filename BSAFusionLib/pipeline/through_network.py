"""Stacks of slices through the network, on a device that may have to be another one after a while."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from BSAFusionLib.network.inference import (
    ComparedSlices,
    FusedSlices,
    RegisteredSlices,
    Running,
    compare_slices,
    fuse_slices,
    register_slices,
)
from BSAFusionLib.pipeline.posterior import SliceEvidence
from BSAFusionLib.pipeline.slicing import Stack


@dataclass
class ThroughNetwork:
    """What all stacks go through.

    running: its device is where it went on after a failure. warnings: what the user should know of the way is added
    there, once. tell: told the share of all stacks that is done, and how many slices of how many.
    """

    running: Running
    warnings: list[str]
    tell: Callable[[float, tuple[int, int]], None]

    def register(self, stacks: list[Stack], refine: bool) -> list[SliceEvidence]:
        """What the slices of each stack tell; `refine` as in `Settings`."""
        evidence, done, of = [], 0, sum(len(stack.filled) for stack in stacks)
        for stack in stacks:
            told = register_slices(*stack.shown(), self._running(done, of), refine)
            self._note(told)
            spread = [np.zeros((len(stack.fixed), *part.shape[1:]), np.float32) for part in (told.mean, told.precision)]
            spread[0][stack.filled], spread[1][stack.filled] = told.mean, told.precision
            evidence.append(SliceEvidence(stack.grid, *spread))
            done += len(stack.filled)
        return evidence

    def agreement(self, stack: Stack) -> np.ndarray:
        """How well the network's features of each slice pair agree as it lies (slice,); NaN for empty ones."""
        values = np.full(len(stack.fixed), np.nan, np.float32)
        if len(stack.filled) > 0:
            compared = compare_slices(*stack.shown(), replace(self.running, progress=None))
            self._note(compared)
            values[stack.filled] = compared.agreement
        return values

    def fuse(self, aligned: Stack) -> np.ndarray:
        """Fused slices of slices that lie on each other; an empty one keeps the larger of the two pixels."""
        slices = np.maximum(aligned.fixed, aligned.moving)
        if len(aligned.filled) > 0:
            fused = fuse_slices(*aligned.shown(), self._running(0, len(aligned.filled)))
            self._note(fused)
            slices[aligned.filled] = fused.fused
        return slices

    def _running(self, before: int, of: int) -> Running:
        def tell(done: int) -> None:
            self.tell((before + done) / of, (before + done, of))

        return replace(self.running, progress=tell)

    def _note(self, came_through: RegisteredSlices | ComparedSlices | FusedSlices) -> None:
        self.running = replace(self.running, device=came_through.device)
        self.warnings += (remark for remark in came_through.remarks if remark not in self.warnings)
