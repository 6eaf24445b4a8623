"""The state of a pickle machine that builds plain values and calls nothing that a file names.

Python's own unpickler imports what a file names and calls it. This one has no import and no call: a name is looked up
in a table of our functions (:mod:`core.checkpoints.values`), and a name that is not in the table ends the
reading with that name in the error. Large byte strings stay views of the file, nothing is allocated for a size that a
file merely declares, and every instruction (:mod:`core.checkpoints.instructions`) counts against
:class:`Limits`.
"""

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.text import name as shown_name
from core.checkpoints.limits import Budget, unsafe

#: Byte strings from this length on stay views of the file.
_VIEWED = 256
_LONGEST_LINE = 4096
#: Lightning keys the states of its callbacks by their classes. A class of these packages becomes its name as text,
#: which nothing can call.
_NAMED_ONLY = ("pytorch_lightning.", "lightning.")
_MARK = object()


@dataclass(frozen=True)
class Global:
    """A name that the table knows. It stands for itself; ``make`` is what a call of it builds, None for no call."""

    name: str
    make: Callable[..., Any] | None = None
    set_state: Callable[[Any, Any], Any] | None = None
    """What a BUILD instruction makes of (object, state), for objects that ``make`` built."""


class Machine:
    """State and operations while one pickle is read by :func:`core.checkpoints.instructions.load`.

    ``table``: "module.name" → :class:`Global`. ``persistent``: what a persistent id stands for. ``position``: the next
    byte to read. The other members are for instructions.
    """

    def __init__(
        self,
        data: memoryview,
        table: Mapping[str, Global],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        start: int = 0,
    ) -> None:
        self.position = start
        self.data, self._table, self.budget, self._persistent = data, table, budget, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.marks = 0
        # What each built object may do with a BUILD: by identity, and kept alive by the list beside it.
        self._makers: dict[int, Global] = {}
        self._made: list[Any] = []

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        """Return the next ``count`` bytes and move behind them."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise unsafe(f"the file ends in the middle of a value near byte {self.position}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, layout: str) -> Any:
        """Return the number stored here in the ``struct`` format ``layout``."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        """Return the text up to the next line feed, which a name of protocol 0 ends with."""
        begin = self.position
        piece = bytes(self.data[begin : begin + _LONGEST_LINE])
        length = piece.find(b"\n")
        if length < 0:
            raise unsafe(f"a line without end near byte {begin}")
        self.position = begin + length + 1
        return piece[:length].decode("utf-8")

    def byte_string(self, layout: str) -> bytes | memoryview:
        """Return bytes whose length comes first, in the format ``layout``; long ones as a view of the file."""
        taken = self.take(self.number(layout))
        return taken if len(taken) >= _VIEWED else bytes(taken)

    def text(self, layout: str) -> str:
        """Return UTF-8 text whose length comes first, in the format ``layout``."""
        return self._text(layout, "utf-8", "surrogatepass")

    def latin_text(self, layout: str) -> str:
        """Return Latin-1 text whose length comes first, in the format ``layout``."""
        return self._text(layout, "latin-1", "strict")

    def _text(self, layout: str, encoding: str, errors: str) -> str:
        made = str(self.take(self.number(layout)), encoding, errors)
        self.budget.make(sys.getsizeof(made))
        return made

    # -- stack ---------------------------------------------------------------------------------------------------------

    def pop(self) -> Any:
        """Remove and return the top of the stack, which must not be a mark."""
        value = self.stack.pop()
        if value is _MARK:
            raise unsafe("a damaged pickle: a mark where a value belongs")
        return value

    def pop_anything(self) -> None:
        """Drop the top of the stack, a mark included."""
        if self.stack.pop() is _MARK:
            self.marks -= 1

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        """Remove the topmost mark and return the values above it, in the order in which they were pushed."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                items = self.stack[at + 1 :]
                del self.stack[at:]
                self.marks -= 1
                return items
        raise unsafe("a damaged pickle: no mark")

    def mark(self) -> None:
        """Put a mark on the stack. The number of open marks is limited."""
        self.marks += 1
        if self.marks > self.budget.limits.marks:
            raise unsafe(f"more than {self.budget.limits.marks} open brackets")
        self.push(_MARK)

    def _last(self, kind: type) -> Any:
        value = self.stack[-1]
        if type(value) is not kind:
            raise unsafe(f"a damaged pickle: {kind.__name__} items for a {type(value).__name__}")
        return value

    def append(self, items: list[Any]) -> None:
        """Add items to the list on top of the stack."""
        self._last(list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Add keys and values, which alternate in ``items``, to the dictionary on top of the stack."""
        table = self._last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[self.budget.key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        """Add items to the set on top of the stack."""
        self._last(set).update(map(self.budget.key, items))

    def frozen(self, items: list[Any]) -> frozenset[Any]:
        """Return a frozen set of the items."""
        return frozenset(map(self.budget.key, items))

    def integer(self, length: int) -> int:
        """Return a signed little-endian integer of ``length`` bytes, which are limited."""
        if length > self.budget.limits.integer_bytes:
            raise unsafe("a whole number of absurd length")
        return int.from_bytes(self.take(length), "little", signed=True)

    def remember(self, index: int) -> None:
        """Store the top of the stack in the memo under ``index``."""
        if self.stack[-1] is _MARK:
            raise unsafe("a damaged pickle: a mark where a value belongs")
        self.memo[index] = self.stack[-1]

    # -- names ---------------------------------------------------------------------------------------------------------

    def find(self, module: Any, name: Any) -> None:
        """Push the entry of the table for a name. Raises :class:`UnsafeCheckpointError` for a name that it lacks."""
        if type(module) is not str or type(name) is not str:
            raise unsafe("a damaged pickle: a name that is not text")
        known = self._table.get(f"{module}.{name}")
        if known is None and f"{module}.".startswith(_NAMED_ONLY):
            self.push(shown_name(f"{module}.{name}"))
            return
        if known is None:
            shown = shown_name(f"{module}.{name}")
            raise unsafe(f"it names {shown}, which no checkpoint needs", shown)
        self.push(known)

    def call(self, callee: Any, arguments: Any) -> None:
        """Push the object that a callable entry of the table builds from the arguments."""
        if type(callee) is not Global or callee.make is None:
            shown = callee.name if type(callee) is Global else type(callee).__name__
            raise unsafe(f"it calls {shown}, which is nothing to call", shown)
        if type(arguments) is not tuple:
            raise unsafe("a damaged pickle: arguments that are no tuple")
        made = callee.make(*arguments)
        self.budget.make(sys.getsizeof(made))
        if callee.set_state is not None:
            self._makers[id(made)] = callee
            self._made.append(made)
        self.push(made)

    def build(self) -> None:
        """Set the state of the object below the top of the stack to the value on top."""
        state = self.pop()
        target = self.pop()
        maker = self._makers.get(id(target))
        if maker is not None and maker.set_state is not None:
            self.push(maker.set_state(target, state))
        elif type(target) is dict:
            self.push(target)  # attributes of a dictionary, such as torch's `_metadata`, which is not needed
        else:
            raise unsafe(f"it sets the state of a {type(target).__name__}")

    def persistent_id(self, identifier: Any) -> None:
        """Push the object that a persistent id refers to."""
        if self._persistent is None:
            raise unsafe("it refers to something outside of itself")
        self.push(self._persistent(identifier))
