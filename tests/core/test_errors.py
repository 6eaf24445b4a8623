import pickle

import pytest

from core.callbacks import never_stop, stop_if_asked
from core.errors import CheckpointError, GeneratorError, OffhandError, Problem, Stopped


def test_every_error_has_a_code_of_its_own():
    def tree(cls):
        return [cls, *(leaf for sub in cls.__subclasses__() for leaf in tree(sub))]

    codes = [error.code for error in tree(OffhandError)]
    assert len(set(codes)) == len(codes)


def test_all_problems_are_told_with_their_pointers():
    error = CheckpointError("two tensors are wrong", [Problem("missing", "a.weight"), Problem("not finite", "b.bias")])
    assert isinstance(error, GeneratorError)
    assert str(error) == "two tensors are wrong\n  a.weight: missing\n  b.bias: not finite"


def test_errors_cross_a_process_boundary():
    error = pickle.loads(pickle.dumps(CheckpointError("bad", [Problem("missing", "a")])))
    assert (error.detail, error.problems) == ("bad", (Problem("missing", "a"),))


def test_stop_if_asked():
    stop_if_asked(never_stop)
    with pytest.raises(Stopped):
        stop_if_asked(lambda: True)


def test_text_of_files_is_made_printable_in_errors():
    error = CheckpointError("it names \ud800os.system", [Problem("\x1b[2Jcleared\0", "layer\nall is well")])
    assert error.detail == "it names \\ud800os.system"
    assert error.problems == (Problem("\\x1b[2Jcleared\\x00", "layer\\nall is well"),)
    str(error).encode("utf-8")


def test_an_error_lists_a_thousand_problems_and_counts_the_rest():
    error = CheckpointError("x" * 10_000, [Problem("missing", str(index)) for index in range(5000)])
    assert len(error.problems) == 1000
    assert error.problems[-1].detail == "4001 more problems are not listed"
    assert len(error.detail) == 4000
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
