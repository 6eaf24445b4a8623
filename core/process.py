"""What a process that computes needs in its environment before it starts."""

from collections.abc import Mapping

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
