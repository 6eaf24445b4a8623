"""Any exception of a step as a `Failure`: the one place where errors become job errors."""

from __future__ import annotations

import base64
import errno
import re
import tempfile
from dataclasses import replace

from core.errors import OffhandError
from store.errors import DamagedObject, Problem, StorageFull, StoreError
from store.jobs.commits import Failure
from store.jobs.remaking import Damaged


def failure_of(error: BaseException) -> Failure:
    """Code, detail and whether trying again can help, for whatever a step raised; without the path of the temporary
    folder, which is gone when the message is read.
    """
    failure = _failure(error)
    problems = tuple(
        replace(one, detail=_without_folder(one.detail), pointer=_without_folder(one.pointer))
        for one in failure.problems
    )
    return replace(failure, detail=_without_folder(failure.detail), problems=problems)


def _without_folder(text: str) -> str:
    return re.sub(re.escape(tempfile.gettempdir()) + r"/offhand-[^/\s'\"]+/?", "", text)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, OffhandError):
        problems = tuple(
            Problem(problem.detail, problem.pointer, base64.b64encode(problem.picture).decode())
            for problem in error.problems
        )
        return Failure(error.code, error.detail, not error.retryable, error.retryable, problems)
    if isinstance(error, DamagedObject):
        damaged = Damaged(error.resource_id, error.name, error.key)
        return Failure(error.code, error.detail, retryable=True, damaged=damaged)
    if isinstance(error, StoreError):
        return Failure(error.code, error.detail, not error.retryable, error.retryable, error.problems)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(StorageFull.code, "no space left for temporary files", retryable=True)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure("out_of_memory", str(error) or "the worker ran out of memory", retryable=True)
    # Something unforeseen: another attempt may meet better luck, and the log has the traceback.
    return Failure("internal_error", f"{type(error).__name__}: {error}"[:2000], retryable=True)
