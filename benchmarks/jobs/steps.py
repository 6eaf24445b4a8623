"""Steps of a stand-in sampler, which sleeps or hashes for as long as the job's spec says."""

from __future__ import annotations

import time
from hashlib import sha256

from core.errors import Stopped
from store.jobs.commits import StepResult
from store.jobs.shards import ShardPlan
from worker.runtime.step_context import StepContext

_BLOCK = bytes(1 << 20)


def hashing(rounds: int, index: int) -> bytes:
    """`rounds` MiB through SHA-256: arithmetic that takes equally long wherever it runs."""
    digest = sha256(str(index).encode())
    for _ in range(rounds):
        digest.update(_BLOCK)
    return digest.digest()


def plan(context: StepContext) -> StepResult:
    """Ask for `spec.shards` shards of one image each."""
    return StepResult(fan_out=tuple(ShardPlan({"index": index}, 1) for index in range(context.claim.spec["shards"])))


def work(context: StepContext) -> StepResult:
    """Hash `spec.rounds` MiB, then sleep `spec.seconds`, then store one small object."""
    index = context.claim.input["index"]
    content = hashing(context.claim.spec.get("rounds", 0), index)
    until = time.monotonic() + context.claim.spec.get("seconds", 0.0)
    while (left := until - time.monotonic()) > 0:
        if context.should_stop():
            raise Stopped("asked to stop")
        context.progress(0, 1)
        time.sleep(min(0.2, left))
    output = context.claim.job_id.replace("job_", "out_")
    file = context.put(output, f"shards/{index:06d}", content, "application/octet-stream", items=1)
    return StepResult(files=(file,))


def finish(_context: StepContext) -> StepResult:
    """Nothing more to do."""
    return StepResult()


STEPS = {"plan": plan, "work": work, "finish": finish}
