"""Small pickles that ask for much: written instruction by instruction, by hand or at random.

``python -m tests.core.checkpoints.crafted FOLDER SEED …`` reads a random pickle of each seed, within 2 GiB
beyond the libraries, and prints seconds and outcome of each as JSON.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import resource
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MODULE = "torch_utils.persistence _reconstruct_persistent_obj"
NETWORK = "dnnlib.tflib.network Network"
PRIME = 2**61 - 1


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def named(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data if len(data) < 256 else b"\x8b" + struct.pack("<i", len(data)) + data


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def items(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in pairs) + b"u"


def module(state: bytes, class_name: str = "Generator") -> bytes:
    """A module of NVIDIA's, ``state`` a dictionary in instructions."""
    meta = items([(text("class_name"), text(class_name)), (text("state"), state)])
    return named(MODULE) + meta + b"\x85R"


def pickled(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def snapshot(network: bytes) -> bytes:
    return pickled(items([(text("G_ema"), network)]))


def shared_modules(width: int = 60, depth: int = 18) -> bytes:
    """Modules of ``width`` references to one module, ``depth`` levels."""
    body = module(items([])) + put(0) + b"0"
    for level in range(1, depth):
        children = items((text(f"m{index}"), get(level - 1)) for index in range(width))
        body += module(items([(text("_modules"), children)])) + put(level) + b"0"
    return snapshot(body + get(depth - 1))


def shared_components(width: int = 60, depth: int = 5) -> bytes:
    """TensorFlow networks that hold one network ``width`` times, ``depth`` levels."""
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R("
    array += b"K\x01)cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R\x89C\x04\x00\x00\x00\x00tb"
    body = b"](" + (text("v") + array + b"\x86") * 60 + b"e" + put(100) + b"0"
    for level in range(depth):
        parts = items((text(f"c{index}"), get(level - 1)) for index in range(width if level else 0))
        state = items([(text("variables"), get(100)), (text("components"), parts)])
        body += named(NETWORK) + b")R" + state + b"b" + put(level) + b"0"
    return pickled(body + get(depth - 1) * 2 + get(depth - 1) + b"\x87")


def copies(call: str, argument: bytes, times: int, *, spread: bool = False) -> bytes:
    """``argument`` made once and given to ``call`` so many times; with ``spread`` it is the tuple of all arguments."""
    prepare = argument + put(0) + b"0" + named(call) + put(1) + b"0"
    return pickled(prepare + b"](" + (get(1) + get(0) + (b"R" if spread else b"\x85R")) * times + b"e")


def pairs(count: int) -> bytes:
    return b"](" + b"".join(text(f"k{index}") + b"N\x86" for index in range(count)) + b"e"


def builds(count: int, times: int) -> bytes:
    """A record that is given one state of ``count`` entries so many times."""
    state = items((text(f"k{index}"), b"N") for index in range(count)) + put(0) + b"0"
    return pickled(state + b"cargparse\nNamespace\n)R" + (get(0) + b"b") * times)


def keys(values: Iterable[bytes]) -> bytes:
    return pickled(items((value, b"N") for value in values))


def nested(times: int, size: int) -> bytes:
    """One payload of ``size`` bytes that is read so many times."""
    inner = pickle.dumps("x" * size, 4)
    payload = b"B" + struct.pack("<I", len(inner)) + inner
    return copies("torch.storage _load_from_bytes", payload, times)


def laughs(levels: int = 60) -> bytes:
    """A list of ten lists of ten lists …, in a memo behind that of any file around it."""
    first = 1 << 20
    body = b"]" + put(first) + b"0"
    for level in range(first + 1, first + levels):
        body += b"](" + get(level - 1) * 10 + b"e" + put(level) + b"0"
    return body + get(first + levels - 1)


class _Random:
    """Writes a pickle from the allowed instructions: a pool of values, then few or many uses of them."""

    CALLS = (
        "collections OrderedDict",
        "dnnlib.util EasyDict",
        "_codecs encode",
        "torch Size",
        "builtins set",
        "builtins frozenset",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.storage _load_from_bytes",
        MODULE,
        NETWORK,
        "argparse Namespace",
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy.core.numeric _frombuffer",
        "numpy dtype",
        "copy_reg _reconstructor",
    )

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.out = io.BytesIO()
        self.kinds: dict[str, list[int]] = {}
        self.count = 0

    def content(self) -> bytes:
        for _ in range(self.draw.randint(5, 40)):
            self.keep(*self.value())
        for _ in range(self.draw.randint(1, 12)):
            self.use()
        top = self.draw.choice(("G_ema", "g_ema", "input.input", "Gs"))
        body = self.out.getvalue() + items([(text(top), self.one()), (text("g"), self.one())])
        return pickled(body if self.draw.random() < 0.7 else body + b"0" + self.one() * 3 + b"\x87")

    def keep(self, kind: str, body: bytes) -> None:
        self.out.write(body + put(self.count) + b"0")
        self.kinds.setdefault(kind, []).append(self.count)
        self.count += 1

    def one(self, *kinds: str) -> bytes:
        known = [index for kind in kinds or self.kinds for index in self.kinds.get(kind, ())]
        return get(self.draw.choice(known)) if known else b"N"

    def times(self) -> int:
        return int(10 ** self.draw.uniform(0, 4.3))

    def key(self) -> bytes:
        draw = self.draw
        wild = (number(draw.randint(0, 1 << 17) * PRIME), b"G" + struct.pack(">d", 2.0 ** draw.randint(0, 900)))
        kind = draw.choices(("text", "wild", "number", "odd"), (200, 0.5, 50, 0.01))[0]
        if kind == "odd":
            return self.one("text")
        usual = text(f"k{draw.randrange(1 << 20)}") if kind == "text" else number(draw.randrange(1 << 40))
        return draw.choice(wild) if kind == "wild" else usual

    def value(self) -> tuple[str, bytes]:
        draw = self.draw
        match draw.randrange(10):
            case 0:
                return "text", text(draw.choice(("a", "é")) * int(10 ** draw.uniform(0, 5.7)))
            case 1:
                data = draw.randbytes(int(10 ** draw.uniform(0, 5.7)))
                return "bytes", b"B" + struct.pack("<I", len(data)) + data
            case 2:
                return "pairs", pairs(self.times())
            case 3:
                return "list", b"](" + self.one() * self.times() + b"e"
            case 4:
                return "dict", items((text(f"k{index}"), self.one()) for index in range(self.times()))
            case 5:
                return "dict", items((self.key(), self.one()) for _ in range(self.times()))
            case 6:
                children = items((text(f"m{index}"), self.one("module")) for index in range(draw.randrange(80)))
                wild = [(text("_parameters"), self.one("dict")), (text("bias_gain"), self.one())]
                return "module", module(items([(text("_modules"), children), *wild]))
            case 7:
                state = [(text("components"), self.one("dict")), (text("variables"), self.one("list"))]
                return "module", named(NETWORK) + b")R" + items(state) + b"b"
            case 8:
                return "names", b"](" + b"".join(text(f"n{index}") for index in range(self.times())) + b"e"
            case _:
                inner = pickle.dumps({"x": "y" * self.times()}, 4)
                return "pickle", b"B" + struct.pack("<I", len(inner)) + inner

    def use(self) -> None:
        draw = self.draw
        match draw.choices(range(4), (1, 6, 4, 3))[0]:
            case 0:
                arguments = b"".join(self.one() for _ in range(draw.randint(0, 3)))
                made = named(draw.choice(self.CALLS)) + b"(" + arguments + b"tR"
                self.keep("made", b"](" + made * self.times() + b"e")
            case 1:
                call, kind = draw.choice(
                    [
                        ("_codecs encode", "text"),
                        ("collections OrderedDict", "pairs"),
                        ("dnnlib.util EasyDict", "pairs"),
                        ("builtins set", "names"),
                        ("builtins frozenset", "names"),
                        ("torch.storage _load_from_bytes", "pickle"),
                        ("torch._utils _rebuild_parameter", "module"),
                    ]
                )
                self.keep("made", b"](" + (named(call) + self.one(kind) + b"\x85R") * self.times() + b"e")
            case 2:
                state = self.one("dict") + b"b"
                self.keep("module", b"cargparse\nNamespace\n)R" + state * self.times())
            case _:
                self.keep("list", b"](" + (self.one() + self.one() + b"\x86") * self.times() + b"e")


def random_pickle(seed: int) -> bytes:
    return _Random(seed).content()


def main(folder: str, *seeds: str) -> None:
    from core.errors import CheckpointError
    from core.generators.importing import import_checkpoint

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (2 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for seed in seeds:
        path = Path(folder) / f"{seed}.pkl"
        path.write_bytes(random_pickle(int(seed)))
        begin = time.perf_counter()
        try:
            import_checkpoint(path)
            outcome: Any = "read"
        except CheckpointError as error:
            outcome = error.detail
        print(json.dumps([int(seed), path.stat().st_size, time.perf_counter() - begin, outcome]), flush=True)
        path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
