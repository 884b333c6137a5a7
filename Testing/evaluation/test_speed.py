"""The benchmark runs every form of the network and a whole job, and writes down what each took."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from BSAFusionLib.__main__ import main
from BSAFusionResearch.commands import benchmark
from BSAFusionResearch.evaluation.roofline import Ceilings, Work, works
from BSAFusionResearch.evaluation.speed import FORMS, Cost, costs, speed_up
from Testing.phantoms import coarse_head, save_untrained

cpu = torch.device("cpu")


@pytest.fixture
def threads():
    """The command chooses how many there are, for good."""
    before = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    yield
    torch.set_num_threads(before[0])
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before[1])


def test_every_form_is_timed_as_often_at_every_batch_size():
    found = list(costs(cpu, [1, 2], repetitions=2, side=16, passes="fuse"))
    exact = [cost for cost in found if cost.precision == "float32"]
    assert [(cost.form, cost.batch) for cost in exact] == [(form, batch) for batch in (1, 2) for form in FORMS]
    assert all(len(cost.seconds) == len(cost.cpu_seconds) == 2 and cost.seconds.min() > 0 for cost in found)


def test_the_speed_up_is_by_cpu_seconds_on_the_cpu_and_by_the_clock_on_a_gpu():
    slow, fast = (
        Cost("", "float32", 1, np.array(a), np.array(b), None) for a, b in (([6, 9], [4, 2]), ([2, 3], [1, 1]))
    )
    assert speed_up(slow, fast, cpu).tolist() == [4, 2]
    assert speed_up(slow, fast, torch.device("cuda")).tolist() == [3, 3]


def test_the_floor_is_what_binds_and_folding_takes_work_away():
    assert Work(100, 10).floor(Ceilings(20.0, 10.0)) == 5.0
    assert Work(100, 80).floor(Ceilings(20.0, 10.0)) == 8.0
    found = works(cpu, 32)
    trained, inferring = (found[form] for form in ("published graph", "published, inference form"))
    assert 0.4 * trained.flops < inferring.flops < 0.8 * trained.flops
    assert inferring.bytes < trained.bytes


def test_the_networks_stage_is_measured_as_stacks_grow(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "GROWN_STACKS", [(5, 32), (10, 32)])
    few, many = benchmark.growth_rows(cpu)
    assert (few["time_over_linear"], few["memory_over_fewest_slices"]) == (1, 1)
    assert many["answer_bytes"] == 2 * few["answer_bytes"] == 10 * 4 * (32 * 32 + 5 * 4 * 4)
    assert many["cpu_seconds"] > 0
    assert "by the fewest slices" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_reports_ratios_seconds_per_pair_and_a_row_per_method(tmp_path: Path, capsys, threads):
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    sitk.WriteImage(coarse_head(), str(volumes / "mri_t1.nii.gz"))
    sitk.WriteImage(coarse_head("pet"), str(volumes / "pet.nii.gz"))
    save_untrained(tmp_path / "weights.safetensors")
    options = ["--side", "16", "--batches", "1", "--repetitions", "1", "--device", "cpu", "--json"]
    folders = ["--volumes", str(volumes), "--weights", str(tmp_path / "weights.safetensors")]
    assert main(["benchmark", *options, str(tmp_path / "speed.json"), *folders]) == 0
    figures = json.loads((tmp_path / "speed.json").read_text())
    assert figures["inference_over_training_form"] > 0
    assert figures["seconds_per_pair"] > 0
    (ours,) = figures["whole_job"]
    assert ours["method"] == "ours"
    assert ours["seconds"] > 0
    assert ours["true_error_mm"] > 0
    assert sum(ours["stages"].values()) <= ours["seconds"]
    assert {row["form"] for row in figures["roofline"]} == set(FORMS)
    assert all(row["times_the_floor"] > 0 for row in figures["roofline"])
    shown = capsys.readouterr().out
    assert "exact, inference form" in shown
    assert "pre-alignment" in shown


@pytest.mark.parametrize(
    "options", [["--repetitions", "0"], ["--batches", "0"], ["--side", "40"], ["--volumes", "nothing"]]
)
def test_options_that_cannot_be_measured_are_rejected_in_one_sentence(options: list[str], capsys):
    assert main(["benchmark", *options]) == 2
    assert capsys.readouterr().err.endswith(".\n")
