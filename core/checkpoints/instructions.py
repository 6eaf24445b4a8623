"""Read a pickle, and the effect of each instruction on the machine (:mod:`core.checkpoints.machine`).

These are the binary instructions of PEP 307, 3154 and 574, which every checkpoint has been written with;
``pickletools`` in the standard library documents each.
"""

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from core.checkpoints.limits import check_depth, unsafe
from core.checkpoints.machine import Machine

_STOP = 0x2E
_NAMES = {opcode.code.encode("latin-1")[0]: opcode.name for opcode in pickletools.opcodes}


def load(machine: Machine) -> Any:
    """Return the pickled value that begins at ``machine.position``, which is then right behind it.

    Raises :class:`UnsafeCheckpointError`.
    """
    try:
        while True:
            machine.budget.count()
            code = machine.take(1)[0]
            if code == _STOP:
                value = machine.pop()
                check_depth(value, machine.budget.limits.depth)
                return value
            step = INSTRUCTIONS.get(code)
            if step is None:
                raise unsafe(f"instruction {_NAMES.get(code, hex(code))} near byte {machine.position}")
            step(machine)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise unsafe(f"a damaged pickle near byte {machine.position} ({type(error).__name__})") from None


def _setting(read: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    """An instruction that pushes one value."""

    def step(machine: Machine) -> None:
        machine.push(read(machine))

    return step


def _call_with_mark(machine: Machine) -> None:
    items = machine.pop_to_mark()
    machine.call(items[0], tuple(items[1:]))


def _inst(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.find(module, name)
    callee = machine.pop()
    machine.call(callee, tuple(machine.pop_to_mark()))


def _reduce(machine: Machine) -> None:
    arguments = machine.pop()
    machine.call(machine.pop(), arguments)


def _new_with_keywords(machine: Machine) -> None:
    keywords = machine.pop()
    if keywords != {}:
        raise unsafe("a call with named arguments")
    _reduce(machine)


def _global(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.find(module, name)


def _stack_global(machine: Machine) -> None:
    name = machine.pop()
    machine.find(machine.pop(), name)


def _set_item(machine: Machine) -> None:
    value = machine.pop()
    machine.set_items([machine.pop(), value])


def _append_one(machine: Machine) -> None:
    value = machine.pop()
    machine.append([value])


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return step


def _frame(machine: Machine) -> None:
    # Frames only help readers to read ahead; a lying one is a sign of a crafted file.
    if machine.number("<Q") > len(machine.data) - machine.position:
        raise unsafe("a frame that is longer than the file")


def _protocol(machine: Machine) -> None:
    if machine.take(1)[0] > 5:
        raise unsafe("a pickle protocol above 5")


def _duplicate(machine: Machine) -> None:
    value = machine.pop()
    machine.stack += [value, value]


INSTRUCTIONS: dict[int, Callable[[Machine], None]] = {
    code.encode("latin-1")[0]: step
    for code, step in {
        # values
        "N": _setting(lambda _: None),
        "\x88": _setting(lambda _: True),
        "\x89": _setting(lambda _: False),
        "J": _setting(lambda m: m.number("<i")),
        "K": _setting(lambda m: m.number("<B")),
        "M": _setting(lambda m: m.number("<H")),
        "\x8a": _setting(lambda m: m.integer(m.number("<B"))),
        "\x8b": _setting(lambda m: m.integer(m.number("<i"))),
        "G": _setting(lambda m: m.number(">d")),
        "T": _setting(lambda m: m.latin_text("<i")),
        "U": _setting(lambda m: m.latin_text("<B")),
        "X": _setting(lambda m: m.text("<I")),
        "\x8c": _setting(lambda m: m.text("<B")),
        "\x8d": _setting(lambda m: m.text("<Q")),
        "B": _setting(lambda m: m.byte_string("<I")),
        "C": _setting(lambda m: m.byte_string("<B")),
        "\x8e": _setting(lambda m: m.byte_string("<Q")),
        "\x96": _setting(lambda m: m.byte_string("<Q")),
        # containers
        ")": _setting(lambda _: ()),
        "]": _setting(lambda _: []),
        "}": _setting(lambda _: {}),
        "\x8f": _setting(lambda _: set()),
        "(": lambda m: m.mark(),
        "t": _setting(lambda m: tuple(m.pop_to_mark())),
        "\x91": _setting(lambda m: m.frozen(m.pop_to_mark())),
        "\x85": _tuple_of(1),
        "\x86": _tuple_of(2),
        "\x87": _tuple_of(3),
        "a": _append_one,
        "e": lambda m: m.append(m.pop_to_mark()),
        "s": _set_item,
        "u": lambda m: m.set_items(m.pop_to_mark()),
        "\x90": lambda m: m.add_items(m.pop_to_mark()),
        # stack and memo
        "0": lambda m: m.pop_anything(),
        "1": lambda m: m.pop_to_mark() and None,
        "2": _duplicate,
        "q": lambda m: m.remember(m.number("<B")),
        "r": lambda m: m.remember(m.number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "h": _setting(lambda m: m.memo[m.number("<B")]),
        "j": _setting(lambda m: m.memo[m.number("<I")]),
        # names, calls, states
        "c": _global,
        "\x93": _stack_global,
        "R": _reduce,
        "\x81": _reduce,
        "\x92": _new_with_keywords,
        "i": _inst,
        "o": _call_with_mark,
        "b": lambda m: m.build(),
        "Q": lambda m: m.persistent_id(m.pop()),
        # framing
        "\x80": _protocol,
        "\x95": _frame,
    }.items()
}
"""Instruction → what it does. Not here, and so refused: values spelt as text (protocol 0), the extension registry and
out-of-band buffers. The old ways to name and call (INST, OBJ) are here, so that the error can tell the name.
"""
