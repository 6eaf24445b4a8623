"""Claims per second: processes that claim and commit shards of one job as fast as the database lets them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.synchronize import Barrier
from statistics import median, quantiles
from typing import Any, TypeVar

from benchmarks.jobs.service import fresh_service, submit
from store.database.database import open_database
from store.errors import StoreUnavailable
from store.jobs.claims import claim
from store.jobs.commits import StepResult, commit
from store.jobs.shards import ShardPlan
from store.settings import Settings

_START_SECONDS = 300.0
T = TypeVar("T")


def measure(database: str, claimers: int, shards: int) -> dict[str, Any]:
    """One row: `shards` shards claimed and committed by `claimers` processes at once."""
    spawn = multiprocessing.get_context("spawn")
    with fresh_service(database) as db:
        submit(db, shards=shards)
        planned = claim(db, "planner")
        assert planned is not None
        commit(db, planned, StepResult(fan_out=tuple(ShardPlan({"index": index}, 1) for index in range(shards))))
        ready, answers = spawn.Barrier(claimers), spawn.SimpleQueue()
        arguments = (db.settings.model_dump_json(), ready, answers)
        processes = [spawn.Process(target=_claimer, args=arguments) for _ in range(claimers)]
        for process in processes:
            process.start()
        results = [_answer(answers, processes) for _ in processes]
        for process in processes:
            process.join()
    waits = [wait for _, _, mine, _ in results for wait in mine]
    seconds = max(stop for _, stop, _, _ in results) - min(start for start, _, _, _ in results)
    if len(waits) != shards:
        raise RuntimeError(f"{len(waits)} of {shards} shards were claimed")
    return {
        "database": database,
        "claimers": claimers,
        "shards": shards,
        "claims_per_second": shards / seconds,
        "claim_ms_median": 1000 * median(waits),
        "claim_ms_p95": 1000 * quantiles(waits, n=20, method="inclusive")[-1],
        "put_off": sum(again for _, _, _, again in results),
    }


def _answer(answers: Any, processes: list[Any]) -> tuple[float, float, list[float], int]:
    while answers.empty():
        if any(process.exitcode for process in processes):
            raise RuntimeError("a claimer died; its words are above")
        time.sleep(0.01)
    answer: tuple[float, float, list[float], int] = answers.get()
    return answer


def _claimer(settings: str, ready: Barrier, answers: Any) -> None:
    """Claim and commit until nothing is left. Monotonic time is the machine's, so that processes may compare it."""
    db = open_database(Settings.model_validate_json(settings))
    ready.wait(_START_SECONDS)
    owner = f"claimer-{multiprocessing.current_process().pid}"
    start, waits, put_off = time.monotonic(), [], 0
    while True:
        asked = time.monotonic()
        taken, again = _insist(lambda: claim(db, owner, ("sample",)))
        put_off += again
        if taken is None:
            break
        waits.append(time.monotonic() - asked)
        _, again = _insist(partial(commit, db, taken, StepResult()))
        put_off += again
    answers.put((start, time.monotonic(), waits, put_off))
    db.close()


def _insist(action: Callable[[], T]) -> tuple[T, int]:
    """What the action gives, and how often the database put it off before, after which a worker asks again too."""
    for again in count():
        try:
            return action(), again
        except StoreUnavailable:
            continue
    raise AssertionError("unreachable")
