"""Progress of the arms of an evaluation, as bytes that a later run continues from."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, Self

from core.errors import Problem, ResumeError

_VERSION = 2


@dataclass(frozen=True)
class ArmProgress:
    """``done``: scores by training. ``key``: the training that was under way, with its state ``training``. ``start``:
    weights of the net that was trained last on the dataset, which is fine-tuned next.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    key: str = ""
    training: bytes = b""
    start: bytes = b""

    def finished(self, key: str, found: dict[str, Any], start: bytes) -> Self:
        """Return the progress with one more training that is done."""
        return replace(self, done={**self.done, key: found}, key="", training=b"", start=start)

    def to_bytes(self) -> bytes:
        """Return a line of JSON and the two states."""
        head = {"version": _VERSION, "done": self.done, "training": self.key, "start_bytes": len(self.start)}
        return json.dumps(head).encode() + b"\n" + self.start + self.training

    @classmethod
    def read(cls, content: bytes | None) -> Self:
        """Return what :meth:`to_bytes` wrote; nothing is done where there is no content. Raises ResumeError."""
        if content is None:
            return cls()
        head, _, states = content.partition(b"\n")
        try:
            state = json.loads(head)
            if state["version"] != _VERSION:
                raise ValueError(f"its version is {state['version']}, not {_VERSION}")
            size = int(state["start_bytes"])
            return cls(dict(state["done"]), str(state["training"]), states[size:], states[:size])
        except (ValueError, KeyError, TypeError) as error:
            problem = Problem(str(error)[:300], "checkpoint")
            raise ResumeError("this evaluation cannot continue from the checkpoint", [problem]) from error
