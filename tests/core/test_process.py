"""What a process that computes is begun with."""

from core.process import environment_to_compute


def test_what_was_chosen_is_kept() -> None:
    chosen = {"GOMP_SPINCOUNT": "5", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "CUBLAS_WORKSPACE_CONFIG": ":16:8"}
    assert environment_to_compute({**chosen, "HOME": "/a"}) == {**chosen, "HOME": "/a", "OMP_DYNAMIC": "false"}
    other = environment_to_compute({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"})
    assert other["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"


def test_threads_neither_wait_busily_nor_vanish_and_pages_are_large() -> None:
    mine = environment_to_compute({"OMP_DYNAMIC": "true"})  # with which convolutions answer with what is no number
    assert (mine["OMP_DYNAMIC"], mine["GOMP_SPINCOUNT"]) == ("false", "1000")
    assert mine["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
