"""Every error of library and store becomes a failure with a code of its own."""

from __future__ import annotations

import errno
import tempfile

import pytest

import core.errors
import store.errors
from core.sampling.filtering import candidates_needed
from store.job_kinds.generate_estimate import candidates
from worker.digests import digest_of, json_values
from worker.runtime.failures import failure_of


def _tree(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(one for child in base.__subclasses__() for one in _tree(child))]


#: Raised at the door alone, with numbers instead of problems; no job meets it.
_ONLY_AT_THE_DOOR = {store.errors.QuotaExceeded}
_WITH_A_TEST_OF_ITS_OWN = {store.errors.DamagedObject}


@pytest.mark.parametrize(
    "error",
    [
        error
        for error in (*_tree(core.errors.OffhandError)[1:], *_tree(store.errors.StoreError)[1:])
        if error not in _ONLY_AT_THE_DOOR | _WITH_A_TEST_OF_ITS_OWN
    ],
)
def test_codes_and_problems_are_kept(error: type[core.errors.OffhandError] | type[store.errors.StoreError]) -> None:
    module = core.errors if issubclass(error, core.errors.OffhandError) else store.errors
    failure = failure_of(error("detail", [module.Problem("wrong", "a.png")]))
    assert (failure.code, failure.detail, failure.retryable) == (error.code, "detail", error.retryable)
    assert failure.permanent == (not error.retryable)
    assert [(problem.detail, problem.pointer) for problem in failure.problems] == [("wrong", "a.png")]


def test_damaged_object_is_named_with_the_failure() -> None:
    error = store.errors.DamagedObject("is damaged", resource_id="lab_1", name="labeler.json", key="work/s/1/a")
    failure = failure_of(error)
    assert (failure.code, failure.permanent, failure.retryable) == ("damaged_object", False, True)
    assert failure.damaged is not None
    assert (failure.damaged.resource_id, failure.damaged.key) == ("lab_1", "work/s/1/a")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (MemoryError(), "out_of_memory"),
        (ValueError("unforeseen"), "internal_error"),
    ],
)
def test_other_errors_may_be_tried_again(error: Exception, code: str) -> None:
    failure = failure_of(error)
    assert (failure.code, failure.permanent, failure.retryable) == (code, False, True)
    assert "Traceback" not in failure.detail


def test_store_and_library_count_candidates_alike() -> None:
    for count in (1, 2, 9, 10, 27, 200, 999, 100_000):
        for hundredths in range(0, 91):
            fraction = hundredths / 100
            assert candidates(count, fraction) == candidates_needed(count, fraction)


def test_digests_depend_on_values_and_not_on_order() -> None:
    assert digest_of({"a": 1, "b": [1.5, None]}) == digest_of({"b": [1.5, None], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_numbers_that_json_has_not_become_null() -> None:
    assert json_values({1: (float("nan"), 1.0), "x": float("inf")}) == {"1": [None, 1.0], "x": None}


def test_no_message_names_the_temporary_folder_of_a_step() -> None:
    path = f"{tempfile.gettempdir()}/offhand-x1y2_z3/upload/network.pkl"
    for error in (
        core.errors.CheckpointError(f"cannot open {path}", [core.errors.Problem(f"no such file: '{path}'", path)]),
        FileNotFoundError(2, "No such file or directory", path),
    ):
        failure = failure_of(error)
        text = failure.detail + "".join(problem.detail + problem.pointer for problem in failure.problems)
        assert tempfile.gettempdir() + "/" not in text
        assert "upload/network.pkl" in text
