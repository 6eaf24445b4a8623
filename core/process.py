"""Processes that compute: their environment before they start, and their end."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1
LARGE_PAGES = "glibc.malloc.hugetlb=1"


def environment_to_compute(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with what makes computing on a processor fast, and the same every time, where it says nothing."""
    mine = dict(environment)
    # With "true", under which OpenMP may give fewer threads than were asked for, PyTorch's convolutions on the CPU were
    # seen to answer with what is no number.
    mine["OMP_DYNAMIC"] = "false"
    # Threads that have finished wait for the slowest. Where another process holds a core they would do so busily, for
    # milliseconds in each of thousands of operations, and take that core from it and from themselves.
    mine.setdefault("GOMP_SPINCOUNT", "1000")
    # Every operation asks for memory that the one before gave back to the system; page by page of 4 KiB, fetching it
    # again took a third of a training step on a virtual machine. Other C libraries, and old ones, ignore this.
    tunables = mine.get("GLIBC_TUNABLES", "")
    if "glibc.malloc.hugetlb" not in tunables:
        mine["GLIBC_TUNABLES"] = f"{tunables}:{LARGE_PAGES}" if tunables else LARGE_PAGES
    # cuBLAS sums in a fixed order only when told so before it is first used.
    mine.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return mine


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent, ``parent``, ends (Linux alone can)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
