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
