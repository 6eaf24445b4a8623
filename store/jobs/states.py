r"""The states that may follow each state of jobs, steps and shards. Every change of state goes through here.

Job::

    from \ to   queued  running  finalizing  succeeded  canceling  canceled  failed  expired
    queued                  x                                 x                   x       x
    running                            x                      x                   x       x
    finalizing              x                      x          x                   x       x
    canceling                                                             x
    failed         x
    succeeded, canceled, expired: nothing follows

Step::

    from \ to   pending  running  succeeded  failed  canceled
    pending                  x                            x
    running        x                   x        x        x
    succeeded                x
    failed         x
    canceled       x

Shard::

    from \ to   pending  running  succeeded  poisoned  canceled
    pending                  x                             x
    running        x                   x          x        x
    succeeded      x
    poisoned       x
    canceled       x

A running shard goes back to pending when its attempt failed, its lease expired or its worker gave it back. A failed job
is queued again by `resume` alone, with its failed and canceled steps and its poisoned and canceled shards. Finalizing
goes back to running, and the two last steps to pending and running, when the last step asks for more samples. A shard
that has succeeded is pending again when what it made is damaged (`store.jobs.remaking`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from store.errors import IllegalTransition

JobState = Literal["queued", "running", "finalizing", "succeeded", "canceling", "canceled", "failed", "expired"]

_JOB: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"running", "canceling", "failed", "expired"}),
    "running": frozenset({"finalizing", "canceling", "failed", "expired"}),
    "finalizing": frozenset({"running", "succeeded", "canceling", "failed", "expired"}),
    "canceling": frozenset({"canceled"}),
    "succeeded": frozenset(),
    "canceled": frozenset(),
    "failed": frozenset({"queued"}),
    "expired": frozenset(),
}
_STEP: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"running", "canceled"}),
    "running": frozenset({"pending", "succeeded", "failed", "canceled"}),
    "succeeded": frozenset({"running"}),
    "failed": frozenset({"pending"}),
    "canceled": frozenset({"pending"}),
}
_SHARD: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"running", "canceled"}),
    "running": frozenset({"pending", "succeeded", "poisoned", "canceled"}),
    "succeeded": frozenset({"pending"}),
    "poisoned": frozenset({"pending"}),
    "canceled": frozenset({"pending"}),
}
TABLES: Mapping[str, Mapping[str, frozenset[str]]] = {"job": _JOB, "step": _STEP, "shard": _SHARD}

#: Nothing happens to these by itself; only a caller's `resume` takes a failed job out of its state.
TERMINAL_JOB_STATES = frozenset({"succeeded", "canceled", "failed", "expired"})
ACTIVE_JOB_STATES = frozenset(_JOB) - TERMINAL_JOB_STATES
#: Jobs whose shards may be claimed.
CLAIMABLE_JOB_STATES = frozenset({"queued", "running", "finalizing"})


def check_transition(what: Literal["job", "step", "shard"], before: str, after: str) -> None:
    """Raise IllegalTransition unless the table above has `before` → `after`."""
    if after not in TABLES[what].get(before, frozenset()):
        raise IllegalTransition(f"a {what} cannot go from {before!r} to {after!r}")


def states_before(what: Literal["job", "step", "shard"], after: str) -> tuple[str, ...]:
    """The states from which `after` may be reached: what a conditional UPDATE asks for in its WHERE."""
    return tuple(sorted(state for state, following in TABLES[what].items() if after in following))
