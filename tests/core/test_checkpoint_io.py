"""What a run keeps for a later attempt says whose it is."""

import pytest
import torch

from core.checkpoint_io import fingerprint, pack, unpack
from core.errors import ResumeError

TENSORS = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(2.5)}


def test_tensors_and_facts_come_back() -> None:
    tensors, facts = unpack(pack(TENSORS, "trial", "mark", {"step": 3}), "trial", "mark")
    assert facts == {"step": 3}
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in TENSORS.items())


@pytest.mark.parametrize(("run", "mark"), [("trial", "other"), ("other", "mark")])
def test_another_runs_state_is_refused(run: str, mark: str) -> None:
    with pytest.raises(ResumeError, match=f"belongs to another {run}"):
        unpack(pack(TENSORS, "trial", "mark"), run, mark)


@pytest.mark.parametrize("damage", [lambda kept: b"", lambda kept: kept[:40], lambda kept: b"in another form"])
def test_damaged_state_is_refused(damage) -> None:
    with pytest.raises(ResumeError, match="cannot be read"):
        unpack(damage(pack(TENSORS, "trial", "mark")), "trial", "mark")


def test_a_fingerprint_depends_on_every_fact_and_number() -> None:
    plain = fingerprint({"seed": 0}, TENSORS.values())
    assert plain == fingerprint({"seed": 0}, [tensor.clone() for tensor in TENSORS.values()])
    assert plain != fingerprint({"seed": 1}, TENSORS.values())
    assert plain != fingerprint({"seed": 0}, [TENSORS["a"], TENSORS["b"] + 1e-6])
    assert plain != fingerprint({"seed": 0}, [TENSORS["a"].T.reshape(3, 2), TENSORS["b"]])


def test_equal_bytes_of_another_shape_or_type_are_another_run() -> None:
    zeros = torch.zeros(2, 3)
    marks = [fingerprint(None, [one]) for one in (zeros, zeros.reshape(3, 2), zeros.int(), zeros[:, None])]
    marks += [fingerprint(None, [half]) for half in (zeros.bfloat16(), zeros.half())]
    assert len(set(marks)) == 6
