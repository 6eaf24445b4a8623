"""Shards take about as long as they should, and cover every sample once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store.job_kinds.generate_shards import SampleRange, first_shard, further_shards
from store.settings import WorkerSettings


def test_shards_are_sized_by_the_time_of_the_first() -> None:
    worker = WorkerSettings(shard_images=64, batch=8, shard_seconds=60.0)
    first = first_shard(0, 10_000, 8, worker)
    assert (first.input["start"], first.input["stop"], first.total) == (0, 64, 64)
    rest = further_shards(SampleRange.of(first.input), 6.4, worker)
    assert {plan.total for plan in rest[1:-1]} == {600}, "0.1 s an image, 600 images a minute"
    assert len(further_shards(SampleRange.of(first.input), 6400.0, worker)) == (10_000 - 64) // 8, "one batch at least"


def test_a_shard_that_is_no_first_one_plans_nothing() -> None:
    assert further_shards(SampleRange(0, 64, 8), 1.0, WorkerSettings()) == ()


@given(
    start=st.integers(0, 500),
    count=st.integers(1, 3000),
    images=st.integers(1, 200),
    batch=st.integers(1, 32),
    seconds=st.floats(0.0, 1000.0),
)
def test_every_sample_is_in_one_shard_and_batches_are_not_cut(
    start: int, count: int, images: int, batch: int, seconds: float
) -> None:
    worker = WorkerSettings(shard_images=images, batch=batch, shard_seconds=10.0)
    first = first_shard(start, start + count, batch, worker)
    plans = [first, *further_shards(SampleRange.of(first.input), seconds, worker)]
    covered = [index for plan in plans for index in range(plan.input["start"], plan.input["stop"])]
    assert covered == list(range(start, start + count))
    assert all(plan.total == plan.input["stop"] - plan.input["start"] > 0 for plan in plans)
    assert all(plan.input["start"] % batch == 0 for plan in plans[1:])
