"""Steps without torch for tests of the machinery. The job's spec says how they behave."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from core.errors import LabelSetError, Stopped
from store.crash import crash_point
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.shards import ShardPlan
from worker.runtime.step_context import StepContext


def plan(context: StepContext) -> StepResult:
    """Ask for `spec.shards` shards of one image each."""
    if context.claim.spec.get("fault") == "bad_input":
        raise LabelSetError("nothing in it")
    return StepResult(fan_out=tuple(ShardPlan({"index": index}, 1) for index in range(context.claim.spec["shards"])))


def work(context: StepContext) -> StepResult:
    """Write one object that depends on seed and index alone."""
    index = context.claim.input["index"]
    fault = context.claim.spec.get("fault")
    if fault == "raise":
        raise RuntimeError("no luck")
    if fault == "exit":
        print("the last words of a dying child", file=__import__("sys").stderr, flush=True)
        os._exit(7)
    if fault == "leave":
        (context.folder / "upload").mkdir()
        (context.folder / "upload" / "network.pkl").write_bytes(bytes(1000))
        os._exit(7)
    if fault == "disk_full":
        raise OSError(28, "No space left on device")
    if fault == "deaf":
        subprocess.Popen(["sleep", "600"])
        Path(context.claim.spec["pid_file"]).write_text(f"{os.getpid()}")
        time.sleep(600)
    if fault == "unstorable":
        return StepResult(value={"text": "a\0b\ud800"}, events=(NewEvent("step.odd\0\ud800", {}),))
    content = f"{context.claim.seed}:{index}".encode()
    output = context.claim.job_id.replace("job_", "out_")
    file = context.put(output, f"shards/{index:06d}.tar", content, "application/x-tar", items=1)
    crash_point("child.mid_step")
    context.log({"step": 1.0, "loss": 0.5, "diverged": float("nan")})
    until = time.monotonic() + context.claim.spec.get("seconds", 0.0)
    while time.monotonic() < until:
        if context.should_stop():
            raise Stopped("asked to stop")
        if fault != "silent":
            context.progress(0, 1)
        time.sleep(0.02)
    return StepResult(value={"sha256": file.sha256, "pid": os.getpid()}, files=(file,))


def finish(context: StepContext) -> StepResult:
    """Nothing more to do."""
    return StepResult()


STEPS = {"plan": plan, "work": work, "finish": finish}
