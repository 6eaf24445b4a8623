"""How much a foreign file may ask of us, and the refusal of one that asks for more."""

from dataclasses import dataclass, field, replace
from typing import Any

from contracts.text import name
from core.errors import Problem, UnsafeCheckpointError

ITEM_BYTES = 100
"""Memory that one item of a copied container is counted as."""


def unsafe(detail: str, pointer: str = "") -> UnsafeCheckpointError:
    """The error for a file that is not going to be read."""
    return UnsafeCheckpointError(f"this file is not read: {detail}", [Problem(detail, pointer)])


@dataclass(frozen=True)
class Limits:
    """Beyond any released checkpoint by a factor of ten or more; what exceeds one is refused as unsafe."""

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
    made_bytes: int = 64 << 20
    """Memory of texts, and of everything that is built by copying, beyond ``made_share`` times the file."""
    made_share: int = 4
    """Instructions repeat what they refer to, so that a file of 8 MB could otherwise ask for 40 GB."""
    visits: int = 100_000
    """Modules and entries of modules that are looked at; a module that is shared counts each time."""
    key_length: int = 4096
    """Length of one key."""
    odd_keys: int = 256
    """Keys that are floats, tuples or whole numbers from 2**60 on. Their hashes can be chosen, so that many would
    collide; those of text cannot, and smaller whole numbers are their own hashes.
    """
    dimension: int = 1 << 40
    """Length and stride of one axis of a tensor."""
    tensor_bytes: int = 8 << 30
    """Memory of all tensors that are taken from the file, as float32."""
    feature_bytes: int = 1 << 30
    """Memory of the largest layer of one drawn image: that of 4096 x 4096 pixels with 16 channels."""

    def of_file(self, file_bytes: int) -> "Limits":
        """Return the limits for a file of this length: what may be made of it grows with it.

        No released checkpoint stores less than half of its float32 size.
        """
        grown = self.made_bytes + self.made_share * file_bytes
        return replace(self, made_bytes=grown, tensor_bytes=min(self.tensor_bytes, grown))


@dataclass
class Budget:
    """Work and memory that reading one file has cost, counted against its limits (:meth:`Limits.of_file`)."""

    limits: Limits = field(default_factory=Limits)
    operations: int = 0
    pickles: int = 0
    made_bytes: int = 0
    visits: int = 0
    odd_keys: int = 0

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

    def make(self, size: int) -> None:
        """Count ``size`` bytes that are made of what the file holds, before or right after they are made."""
        self.made_bytes += size
        if self.made_bytes > self.limits.made_bytes:
            raise unsafe(f"copies of its values need more than {self.limits.made_bytes} bytes")

    def make_items(self, items: Any) -> None:
        """Count a copy of a container."""
        self.make(ITEM_BYTES * (len(items) + 1))

    def visit(self, count: int) -> None:
        """Count ``count`` modules, or entries of a module."""
        self.visits += count
        if self.visits > self.limits.visits:
            raise unsafe(f"more than {self.limits.visits} modules and entries, with those that are shared")

    def key(self, key: Any) -> Any:
        """Return ``key`` where it is a plain key: hashing anything deeper could exhaust the machine's stack, comparing
        long ones its time, and numbers can be chosen so that all have one hash.
        """
        parts = key if type(key) is tuple else (key,)
        if len(parts) > 16 or not all(type(part) in _KEYS for part in parts):
            raise unsafe(f"a {type(key).__name__} as a key")
        if any(type(part) in (str, bytes) and len(part) > self.limits.key_length for part in parts):
            raise unsafe(f"a key of more than {self.limits.key_length} characters")
        if type(key) in (float, tuple) or (type(key) is int and abs(key) >= 1 << 60):
            self.odd_keys += 1
            if self.odd_keys > self.limits.odd_keys:
                raise unsafe(f"more than {self.limits.odd_keys} keys that are floats, tuples or huge numbers")
        return key


_KEYS = (str, int, float, bool, bytes, type(None))


def shown(value: Any) -> str:
    """Return a short form of any value that a file holds, for an error. A container is named by its kind alone: written
    out, one that holds itself many times over would not end.
    """
    if type(value) is str:
        return repr(name(value, 100))
    if value is None or type(value) in (bool, float) or (type(value) is int and abs(value) < 1 << 64):
        return repr(value)
    return f"a {type(value).__name__}"


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
