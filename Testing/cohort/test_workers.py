"""Workers of this machine share its GPUs, and one that dies takes only its own case with it."""

import os

import psutil
import pytest
from distributed import LocalCluster

from BSAFusionLib.cohort.workers import connected, run_all
from BSAFusionLib.errors import FusionError
from Testing.cohort.cluster import answer_or_die


def test_workers_take_turns_at_the_gpus_and_the_death_of_one_fails_its_case_alone() -> None:
    with connected(None, workers=2, cases=3, gpu_memories=[2**33, 2**33]) as client:
        assert set(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == {"0", "1"}
        resources = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        assert resources == [{"GPU": 1}] * 2
        limits = [worker["memory_limit"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        assert 0 < sum(limits) <= psutil.virtual_memory().total
        outcomes = dict(run_all(client, answer_or_die, {"a": ("well",), "b": (None,), "c": ("too",)}))
    assert (outcomes["a"], outcomes["c"]) == ("well", "too")
    assert isinstance(outcomes["b"], Exception)


def test_an_error_is_an_outcome() -> None:
    with connected(None, workers=1, cases=2) as client:
        outcomes = dict(run_all(client, int, {"number": ("1",), "word": ("one",)}))
    assert outcomes["number"] == 1
    assert isinstance(outcomes["word"], ValueError)


def test_a_scheduler_that_needs_certificates_is_reported_in_a_sentence() -> None:
    with (
        pytest.raises(FusionError, match=r"tls://127\.0\.0\.1:1 needs TLS certificates; name them in Dask's conf"),
        connected("tls://127.0.0.1:1", None, 1),
    ):
        pass


def test_two_batches_on_one_scheduler_do_not_take_each_others_results() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        connected(cluster.scheduler_address, None, 1) as client,
        connected(cluster.scheduler_address, None, 1) as other,
    ):
        first = run_all(client, str, {"sub-1_pet": ("first",)})
        assert next(first) == ("sub-1_pet", "first")  # and its outcome is still held
        assert dict(run_all(other, str, {"sub-1_pet": ("second",)})) == {"sub-1_pet": "second"}
        assert list(first) == []
