"""Benchmarks measure what their titles say: all of the network's rounds, from the transform that was searched for."""

import importlib.util
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from BSAFusionLib.pipeline.progress import STAGE_SHARES
from Testing.phantoms import make_grid, make_head

programs = Path(__file__).resolve().parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", programs / f"{name}.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def zero_field(grid: sitk.Image) -> sitk.Image:
    field = sitk.GetImageFromArray(np.zeros((*grid.GetSize()[::-1], 3)), isVector=True)
    field.CopyInformation(grid)
    return field


def test_coupled_slices_take_the_time_of_both_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    coherence, clock = load("coherence"), count()
    mri = make_head(make_grid("axis-aligned"), "mri")[::3, ::3, ::3]

    def register_and_fuse(*inputs: Any) -> SimpleNamespace:
        for stage in STAGE_SHARES:  # a second each
            inputs[3](stage, 0.5, None)
        searched = sitk.Euler3DTransform()
        return SimpleNamespace(searched=searched, transform=lambda: sitk.CompositeTransform([searched]))

    monkeypatch.setattr(coherence, "time", SimpleNamespace(process_time=lambda: float(next(clock))))
    unmoved = SimpleNamespace(move=lambda moving, _: moving, transform=lambda _: sitk.Transform())
    monkeypatch.setattr(coherence, "KnownMotion", lambda *_: unmoved)
    monkeypatch.setattr(coherence, "register_and_fuse", register_and_fuse)
    monkeypatch.setattr(coherence, "by_itself", lambda fixed, *_: (zero_field(fixed), 9.0))
    rows = coherence.measured(mri, sitk.Cast(mri, sitk.sitkFloat32), "pet", 0)
    # pre-registration, registration, deformation
    assert [row[-1] for row in rows] == [0.0, 9.0, 3.0, 3.0, 3.0]


def test_the_verdict_is_tried_on_the_field_that_follows_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    witnesses = load("witnesses")
    mri = make_head(make_grid("axis-aligned"), "mri")
    searched = sitk.Euler3DTransform((0, 0, 0), 0.1, 0, 0, (5.0, 0, 0))
    corrected = sitk.Euler3DTransform((0, 0, 0), 0.1, 0.02, 0, (7.0, 1.0, 0))
    result = SimpleNamespace(searched=searched, prealignment=corrected, estimated_field=zero_field(mri))
    judged: list[tuple[sitk.Image, sitk.Transform]] = []

    def stop(field: sitk.Image, initial: sitk.Transform, *_: object) -> None:
        judged.append((field, initial))
        raise StopIteration

    monkeypatch.setattr(witnesses, "register_and_fuse", lambda *_: result)
    monkeypatch.setattr(
        witnesses, "load_inference_network", lambda _: SimpleNamespace(metadata=SimpleNamespace(size=32))
    )
    monkeypatch.setattr(witnesses, "Runner", lambda _: None)
    monkeypatch.setattr(witnesses, "apply_helpful_part", stop)
    motion = SimpleNamespace(move=lambda moving, _: moving, transform=lambda _: searched)
    with pytest.raises((StopIteration, RuntimeError)):
        witnesses.measured(mri, sitk.Cast(mri, sitk.sitkFloat32), "pet", motion)
    ((field, initial),) = judged
    assert initial is searched
    for point in ((0.0, 0.0, 0.0), (20.0, -10.0, 15.0)):
        inside = np.add(mri.TransformContinuousIndexToPhysicalPoint([8.0] * 3), point).tolist()
        led = witnesses.compose_transform(field, initial).TransformPoint(inside)
        assert led == pytest.approx(corrected.TransformPoint(inside), abs=0.01)
