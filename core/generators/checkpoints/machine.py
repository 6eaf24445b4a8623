"""A pickle machine that builds plain values and calls nothing that a file names.

Python's own unpickler imports what a file names and calls it. This one has no import and no call: a name is looked up
in a table of our functions (:mod:`core.generators.checkpoints.values`), and a name that is not in the table ends the
reading with that name in the error. Large byte strings stay views of the file, nothing is allocated for a size that a
file merely declares, and every instruction counts against :class:`Limits`.

The instructions are the binary ones of PEP 307, 3154 and 574, which every checkpoint has been written with;
``pickletools`` in the standard library documents each.
"""

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from core.errors import Problem, UnsafeCheckpointError
from core.generators.checkpoints.limits import Limits

#: Byte strings from this length on stay views of the file.
_VIEWED = 256
_LONGEST_LINE = 4096
_NAMES = {opcode.code.encode("latin-1")[0]: opcode.name for opcode in pickletools.opcodes}
_MARK = object()


def unsafe(detail: str, pointer: str = "") -> UnsafeCheckpointError:
    """The error for a file that is not going to be read."""
    return UnsafeCheckpointError(f"this file is not read: {detail}", [Problem(detail, pointer)])


@dataclass(frozen=True)
class Global:
    """A name that the table knows. It stands for itself; ``make`` is what a call of it builds, None for no call."""

    name: str
    make: Callable[..., Any] | None = None
    set_state: Callable[[Any, Any], Any] | None = None
    """What a BUILD instruction makes of (object, state), for objects that ``make`` built."""


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


class Machine:
    """Reads one pickle. ``table``: "module.name" → :class:`Global`. ``persistent``: what a persistent id stands for."""

    def __init__(
        self,
        data: memoryview,
        table: Mapping[str, Global],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        start: int = 0,
    ) -> None:
        self.position = start
        self._data, self._table, self._budget, self._persistent = data, table, budget, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._marks = 0
        # What each built object may do with a BUILD: by identity, and kept alive by the list beside it.
        self._makers: dict[int, Global] = {}
        self._made: list[Any] = []

    def load(self) -> Any:
        """The pickled value; ``position`` is then right behind it. Raises :class:`UnsafeCheckpointError`."""
        try:
            while True:
                self._budget.count()
                code = self._take(1)[0]
                if code == 0x2E:  # STOP
                    value = self._pop()
                    check_depth(value, self._budget.limits.depth)
                    return value
                step = _STEPS.get(code)
                if step is None:
                    self._refuse(code)
                step(self)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
            raise unsafe(f"a damaged pickle near byte {self.position} ({type(error).__name__})") from None

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise unsafe(f"the file ends in the middle of a value near byte {self.position}")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        begin = self.position
        piece = bytes(self._data[begin : begin + _LONGEST_LINE])
        length = piece.find(b"\n")
        if length < 0:
            raise unsafe(f"a line without end near byte {begin}")
        self.position = begin + length + 1
        return piece[:length].decode("utf-8")

    def _bytes(self, layout: str) -> bytes | memoryview:
        taken = self._take(self._number(layout))
        return taken if len(taken) >= _VIEWED else bytes(taken)

    def _text(self, layout: str) -> str:
        return str(self._take(self._number(layout)), "utf-8", "surrogatepass")

    # -- stack ---------------------------------------------------------------------------------------------------------

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise unsafe("a damaged pickle: a mark where a value belongs")
        return value

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_to_mark(self) -> list[Any]:
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is _MARK:
                items = self._stack[at + 1 :]
                del self._stack[at:]
                self._marks -= 1
                return items
        raise unsafe("a damaged pickle: no mark")

    def _mark(self) -> None:
        self._marks += 1
        if self._marks > self._budget.limits.marks:
            raise unsafe(f"more than {self._budget.limits.marks} open brackets")
        self._push(_MARK)

    def _last(self, kind: type) -> Any:
        value = self._stack[-1]
        if type(value) is not kind:
            raise unsafe(f"a damaged pickle: {kind.__name__} items for a {type(value).__name__}")
        return value

    def _append(self, items: list[Any]) -> None:
        self._last(list).extend(items)

    def _set_items(self, items: list[Any]) -> None:
        table = self._last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[hashable(key)] = value

    def _add_items(self, items: list[Any]) -> None:
        self._last(set).update(map(hashable, items))

    def _integer(self, length: int) -> int:
        if length > self._budget.limits.integer_bytes:
            raise unsafe("a whole number of absurd length")
        return int.from_bytes(self._take(length), "little", signed=True)

    def _remember(self, index: int) -> None:
        if self._stack[-1] is _MARK:
            raise unsafe("a damaged pickle: a mark where a value belongs")
        self._memo[index] = self._stack[-1]

    # -- names ---------------------------------------------------------------------------------------------------------

    def _find(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise unsafe("a damaged pickle: a name that is not text")
        known = self._table.get(f"{module}.{name}")
        if known is None:
            shown = f"{module}.{name}"[:200]
            raise unsafe(f"it names {shown}, which no checkpoint needs", shown)
        self._push(known)

    def _call(self, callee: Any, arguments: Any) -> None:
        if type(callee) is not Global or callee.make is None:
            shown = callee.name if type(callee) is Global else type(callee).__name__
            raise unsafe(f"it calls {shown}, which is nothing to call", shown)
        if type(arguments) is not tuple:
            raise unsafe("a damaged pickle: arguments that are no tuple")
        made = callee.make(*arguments)
        if callee.set_state is not None:
            self._makers[id(made)] = callee
            self._made.append(made)
        self._push(made)

    def _build(self) -> None:
        state = self._pop()
        target = self._pop()
        maker = self._makers.get(id(target))
        if maker is not None and maker.set_state is not None:
            self._push(maker.set_state(target, state))
        elif type(target) is dict:
            self._push(target)  # attributes of a dictionary, such as torch's `_metadata`: nobody needs them
        else:
            raise unsafe(f"it sets the state of a {type(target).__name__}")

    def _persistent_id(self, identifier: Any) -> None:
        if self._persistent is None:
            raise unsafe("it refers to something outside of itself")
        self._push(self._persistent(identifier))

    def _refuse(self, code: int) -> NoReturn:
        raise unsafe(f"instruction {_NAMES.get(code, hex(code))} near byte {self.position}")


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


def _setting(read: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    """An instruction that pushes one value."""

    def step(machine: Machine) -> None:
        machine._push(read(machine))

    return step


def _call_with_mark(machine: Machine) -> None:
    items = machine._pop_to_mark()
    machine._call(items[0], tuple(items[1:]))


def _inst(machine: Machine) -> None:
    module, name = machine._line(), machine._line()
    machine._find(module, name)
    callee = machine._pop()
    machine._call(callee, tuple(machine._pop_to_mark()))


def _reduce(machine: Machine) -> None:
    arguments = machine._pop()
    machine._call(machine._pop(), arguments)


def _new_with_keywords(machine: Machine) -> None:
    keywords = machine._pop()
    if keywords != {}:
        raise unsafe("a call with named arguments")
    _reduce(machine)


def _global(machine: Machine) -> None:
    module, name = machine._line(), machine._line()
    machine._find(module, name)


def _stack_global(machine: Machine) -> None:
    name = machine._pop()
    machine._find(machine._pop(), name)


def _set_item(machine: Machine) -> None:
    value = machine._pop()
    machine._set_items([machine._pop(), value])


def _append_one(machine: Machine) -> None:
    value = machine._pop()
    machine._append([value])


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        values = [machine._pop() for _ in range(count)]
        machine._push(tuple(reversed(values)))

    return step


def _frame(machine: Machine) -> None:
    # Frames only help readers to read ahead; a lying one is a sign of a crafted file.
    if machine._number("<Q") > len(machine._data) - machine.position:
        raise unsafe("a frame that is longer than the file")


def _protocol(machine: Machine) -> None:
    if machine._take(1)[0] > 5:
        raise unsafe("a pickle protocol above 5")


def _pop_anything(machine: Machine) -> None:
    if machine._stack[-1] is _MARK:
        machine._marks -= 1
    machine._stack.pop()


def _duplicate(machine: Machine) -> None:
    value = machine._pop()
    machine._stack += [value, value]


_STEPS: dict[int, Callable[[Machine], None]] = {
    code.encode("latin-1")[0]: step
    for code, step in {
        # values
        "N": _setting(lambda _: None),
        "\x88": _setting(lambda _: True),
        "\x89": _setting(lambda _: False),
        "J": _setting(lambda m: m._number("<i")),
        "K": _setting(lambda m: m._number("<B")),
        "M": _setting(lambda m: m._number("<H")),
        "\x8a": _setting(lambda m: m._integer(m._number("<B"))),
        "\x8b": _setting(lambda m: m._integer(m._number("<i"))),
        "G": _setting(lambda m: m._number(">d")),
        "T": _setting(lambda m: str(m._take(m._number("<i")), "latin-1")),
        "U": _setting(lambda m: str(m._take(m._number("<B")), "latin-1")),
        "X": _setting(lambda m: m._text("<I")),
        "\x8c": _setting(lambda m: m._text("<B")),
        "\x8d": _setting(lambda m: m._text("<Q")),
        "B": _setting(lambda m: m._bytes("<I")),
        "C": _setting(lambda m: m._bytes("<B")),
        "\x8e": _setting(lambda m: m._bytes("<Q")),
        "\x96": _setting(lambda m: m._bytes("<Q")),
        # containers
        ")": _setting(lambda _: ()),
        "]": _setting(lambda _: []),
        "}": _setting(lambda _: {}),
        "\x8f": _setting(lambda _: set()),
        "(": Machine._mark,
        "t": _setting(lambda m: tuple(m._pop_to_mark())),
        "\x91": _setting(lambda m: frozenset(map(hashable, m._pop_to_mark()))),
        "\x85": _tuple_of(1),
        "\x86": _tuple_of(2),
        "\x87": _tuple_of(3),
        "a": _append_one,
        "e": lambda m: m._append(m._pop_to_mark()),
        "s": _set_item,
        "u": lambda m: m._set_items(m._pop_to_mark()),
        "\x90": lambda m: m._add_items(m._pop_to_mark()),
        # stack and memo
        "0": _pop_anything,
        "1": lambda m: m._pop_to_mark() and None,
        "2": _duplicate,
        "q": lambda m: m._remember(m._number("<B")),
        "r": lambda m: m._remember(m._number("<I")),
        "\x94": lambda m: m._remember(len(m._memo)),
        "h": _setting(lambda m: m._memo[m._number("<B")]),
        "j": _setting(lambda m: m._memo[m._number("<I")]),
        # names, calls, states
        "c": _global,
        "\x93": _stack_global,
        "R": _reduce,
        "\x81": _reduce,
        "\x92": _new_with_keywords,
        "i": _inst,
        "o": _call_with_mark,
        "b": Machine._build,
        "Q": lambda m: m._persistent_id(m._pop()),
        # framing
        "\x80": _protocol,
        "\x95": _frame,
    }.items()
}
"""Instruction → what it does. Not here, and so refused: values spelt as text (protocol 0), the extension registry and
out-of-band buffers. The old ways to name and call (INST, OBJ) are here, so that the error can tell the name.
"""
