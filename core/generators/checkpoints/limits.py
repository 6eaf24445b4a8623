"""How much a foreign file may ask of us, and the refusal of one that asks for more."""

from dataclasses import dataclass, field
from typing import Any

from core.errors import Problem, UnsafeCheckpointError


def unsafe(detail: str, pointer: str = "") -> UnsafeCheckpointError:
    """The error for a file that is not going to be read."""
    return UnsafeCheckpointError(f"this file is not read: {detail}", [Problem(detail, pointer)])


@dataclass(frozen=True)
class Limits:
    """Beyond any released StyleGAN2 checkpoint by a factor of ten or more; what exceeds one is refused as unsafe."""

    file_bytes: int = 16 << 30
    operations: int = 2_000_000
    """Instructions of all pickles in the file together. It bounds the number of objects and the time to read them."""
    marks: int = 200
    """Open brackets of a pickle at once."""
    depth: int = 200
    """Containers inside one another."""
    pickles: int = 20_000
    """Pickles inside pickles: one a storage in NVIDIA's files."""
    nesting: int = 2
    """Levels of pickles inside pickles."""
    integer_bytes: int = 256
    """Length of one whole number."""
    members: int = 100_000
    """Entries of a zip container."""
    tensor_bytes: int = 8 << 30
    """Memory of all tensors that are taken from the file, as float32."""


@dataclass
class Budget:
    """What is left of the limits, shared by all pickles of one file."""

    limits: Limits = field(default_factory=Limits)
    operations: int = 0
    pickles: int = 0

    def start_pickle(self, level: int) -> None:
        """Count one more pickle, ``level`` deep inside others."""
        self.pickles += 1
        if self.pickles > self.limits.pickles or level > self.limits.nesting:
            raise unsafe("more pickles inside pickles than any checkpoint has")

    def count(self) -> None:
        """Count one instruction."""
        self.operations += 1
        if self.operations > self.limits.operations:
            raise unsafe(f"more than {self.limits.operations} instructions")


def hashable(key: Any) -> Any:
    """``key`` where it is a plain key; hashing anything deeper could exhaust the machine's stack."""
    parts = key if type(key) is tuple else (key,)
    if not all(type(part) in (str, int, float, bool, bytes, type(None)) for part in parts):
        raise unsafe(f"a {type(key).__name__} as a key")
    return key


def check_depth(value: Any, limit: int) -> None:
    """Raise for containers inside one another beyond ``limit``; each is looked at once, however often it is shared."""
    seen: set[int] = set()
    level = [value]
    for _ in range(limit + 1):
        following: list[Any] = []
        for one in level:
            if type(one) in (list, tuple, dict, set, frozenset) and id(one) not in seen:
                seen.add(id(one))
                following.extend(one.values() if type(one) is dict else one)
        if not following:
            return
        level = following
    raise unsafe(f"containers inside one another more than {limit} deep")
