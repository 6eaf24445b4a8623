"""What a pickle may name, and the passive value that each name becomes. Nothing here imports or calls foreign code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.checkpoints.limits import Budget, Limits, shown, unsafe
from core.checkpoints.machine import Global

STORAGE_TYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
#: Length and number of the parts of a path among options.
_LONGEST_PART, _MOST_PARTS = 4096, 100
_NUMPY_DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


@dataclass
class Record:
    """An object of a class that we know by name: its state, and never its code."""

    class_name: str
    state: dict[str, Any]


@dataclass
class Storage:
    """Raw numbers in the file: ``count`` as declared, ``data`` a view of the file, known later."""

    dtype: torch.dtype
    count: int
    data: memoryview = field(default=memoryview(b""), repr=False)

    def fill(self, data: memoryview) -> None:
        """Take ``data``, which has to be as long as was declared."""
        if len(data) != self.count * self.dtype.itemsize:
            raise unsafe(f"a storage that declares {self.count} numbers and has {len(data)} bytes")
        self.data = data


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies; nothing is copied until :meth:`read`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.size)

    def read(self) -> Tensor:
        """The tensor, a view of the file where that is possible."""
        if not self.count:
            return torch.empty(0, dtype=self.storage.dtype).reshape(self.size)
        whole = torch.frombuffer(self.storage.data, dtype=self.storage.dtype)
        return whole.as_strided(self.size, self.stride, self.offset)


@dataclass
class StoredArray:
    """A NumPy array as it lies in the file; its state comes after it was made."""

    dtype: str = ""
    size: tuple[int, ...] = ()
    fortran: bool = False
    data: bytes | memoryview = field(default=b"", repr=False)

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.size)

    def read(self) -> Tensor:
        """The numbers as a tensor of their own type."""
        array: NDArray[Any] = np.frombuffer(self.data, np.dtype(self.dtype)).reshape(
            self.size, order="F" if self.fortran else "C"
        )
        return torch.from_numpy(array.copy())


@dataclass
class _DType:
    code: str
    order: str = "<"


#: Sizes and strides beyond any tensor's, which libraries refuse in words of their own, or not at all.
_DIMENSION = Limits().dimension


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _DIMENSION


def _shape(value: Any, what: str) -> tuple[int, ...]:
    if type(value) not in (tuple, list) or len(value) > 16 or not all(map(_is_count, value)):
        raise unsafe(f"a tensor whose {what} is not a list of at most 16 counts from 0 to {_DIMENSION}")
    if what != "stride" and prod(length or 1 for length in value) > _DIMENSION:
        raise unsafe(f"a tensor whose {what} is {list(value)}, beyond {_DIMENSION} numbers")
    return tuple(value)


def stored_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    """A tensor over a storage; raises where it would reach outside of it, or repeat what is there."""
    size, stride = _shape(size, "size"), _shape(stride, "stride")
    if not isinstance(storage, Storage) or not _is_count(offset) or len(size) != len(stride):
        raise unsafe("a tensor that is not strided numbers over a storage")
    stored = StoredTensor(storage, offset, size, stride)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if stored.count and (last >= storage.count or stored.count > storage.count):
        raise unsafe(f"a tensor of size {list(size)} that reaches outside of its {storage.count} stored numbers")
    return stored


def _parameter(data: Any = None, *_: Any) -> Any:
    return data


def _array_shell(*_: Any) -> StoredArray:
    return StoredArray()


def _fill_array(array: StoredArray, state: Any) -> StoredArray:
    if type(state) is not tuple or len(state) != 5:
        raise unsafe("an array with a state of unknown form")
    _, size, dtype, fortran, data = state
    return _array(array, data, dtype, _shape(size, "shape"), fortran is True)


def _array_from_buffer(data: Any, dtype: Any, size: Any, order: Any = "C") -> StoredArray:
    return _array(StoredArray(), data, dtype, _shape(size, "shape"), order == "F")


def _array(array: StoredArray, data: Any, dtype: Any, size: tuple[int, ...], fortran: bool) -> StoredArray:
    if not isinstance(dtype, _DType) or type(data) not in (bytes, memoryview):
        raise unsafe("an array of something else than plain numbers (object arrays are never read)")
    array.dtype, array.size = dtype.order + dtype.code, size
    array.fortran, array.data = fortran, data
    if array.count * np.dtype(array.dtype).itemsize != len(data):
        raise unsafe(f"an array of shape {list(size)} with {len(data)} bytes")
    return array


def _dtype(code: Any, *_: Any) -> _DType:
    if type(code) is not str or code not in _NUMPY_DTYPES:
        raise unsafe(f"an array of type {shown(code)}; only plain numbers are read")
    return _DType(code)


def _fill_dtype(dtype: _DType, state: Any) -> _DType:
    if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
        raise unsafe("an array that is not little-endian")
    return dtype


def _scalar(dtype: Any, data: Any) -> float | int:
    value = _array(StoredArray(), data, dtype, (), False).read().item()
    assert isinstance(value, float | int)
    return value


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 spells bytes."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise unsafe("bytes in an unknown spelling")
    return text.encode("latin-1")


def _mapping(budget: Budget) -> Callable[..., dict[str, Any]]:
    def make(pairs: Any = (), *_: Any) -> dict[str, Any]:
        if type(pairs) is not list:
            return {}
        budget.make_items(pairs)
        return {budget.key(key): value for key, value in pairs if type(key) is str}

    return make


def _collection(kind: Callable[[Any], Any], budget: Budget) -> Callable[..., Any]:
    def make(items: Any = ()) -> Any:
        if type(items) not in (list, tuple) or not all(type(item) in (str, int) for item in items):
            raise unsafe(f"a {kind.__name__} of something else than names and numbers")
        budget.make_items(items)
        return kind(map(budget.key, items))

    return make


def _size(items: Any = ()) -> tuple[int, ...]:
    return _shape(items, "size")


def _path(*parts: Any) -> str:
    """A path among options, as text: nothing is opened."""
    return _text(parts, "/", "path")


def _device(*parts: Any) -> str:
    """A device among options, as text."""
    return _text(tuple(str(part) if type(part) is int else part for part in parts), ":", "device")


def _text(parts: tuple[Any, ...], between: str, what: str) -> str:
    if not all(type(part) is str and len(part) <= _LONGEST_PART for part in parts) or len(parts) > _MOST_PARTS:
        raise unsafe(f"a {what} of something else than a few short texts")
    return between.join(parts)


def _persistent_object(meta: Any) -> Record:
    """NVIDIA's modules: the class's name and the object's state. The source code beside them is not looked at."""
    if type(meta) is not dict or type(meta.get("class_name")) is not str or type(meta.get("state")) is not dict:
        raise unsafe("a module whose state is not a dictionary")
    return Record(meta["class_name"], meta["state"])


def _record(class_name: str) -> Callable[..., Record]:
    def make(*_: Any) -> Record:
        return Record(class_name, {})

    return make


def _setting_record(budget: Budget) -> Callable[[Record, Any], Record]:
    def set_record(record: Record, state: Any) -> Record:
        if type(state) is tuple and len(state) == 2 and state[0] is None:
            state = state[1]
        if type(state) is not dict:
            raise unsafe(f"a {record.class_name} whose state is not a dictionary")
        budget.make_items(state)
        record.state.update(state)
        return record

    return set_record


def _reconstructed(kind: Any, *_: Any) -> Any:
    """``copyreg._reconstructor``, for classes that are in the table by themselves."""
    if type(kind) is not Global or kind.make is None or kind.name not in _RECORDS:
        raise unsafe("an object of a class that is no record")
    return kind.make()


_RECORDS = ("argparse.Namespace", "dnnlib.tflib.network.Network")


def table(load_nested: Callable[[Any], Any], budget: Budget) -> dict[str, Global]:
    """Return every name that a pickle may use. ``load_nested``: bytes of a ``torch.save`` payload → their value.

    ``budget``: work on whole containers is counted against it; the machine counts the memory of each value.
    """
    mapping, set_record = _mapping(budget), _setting_record(budget)
    calls: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": mapping,
        "dnnlib.util.EasyDict": mapping,
        "dnnlib.EasyDict": mapping,
        "_codecs.encode": _encoded,
        "torch.Size": _size,
        "torch.device": _device,
        "torch._utils._rebuild_tensor": stored_tensor,
        "torch._utils._rebuild_tensor_v2": stored_tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.storage._load_from_bytes": load_nested,
        "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    }
    for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        calls |= {f"{module}.{kind}": _path for module in ("pathlib", "pathlib._local")}
    for module in ("builtins", "__builtin__"):
        calls |= {f"{module}.{kind.__name__}": _collection(kind, budget) for kind in (set, frozenset)}
    for module in ("numpy.core", "numpy._core"):
        calls[f"{module}.multiarray.scalar"] = _scalar
        calls[f"{module}.numeric._frombuffer"] = _array_from_buffer
    names = {name: Global(name, make) for name, make in calls.items()}
    for module in ("numpy.core", "numpy._core"):
        name = f"{module}.multiarray._reconstruct"
        names[name] = Global(name, _array_shell, _fill_array)
    names["numpy.dtype"] = Global("numpy.dtype", _dtype, _fill_dtype)
    for name in _RECORDS:
        names[name] = Global(name, _record(name), set_record)
    for name in ("copyreg._reconstructor", "copy_reg._reconstructor"):
        names[name] = Global(name, _reconstructed, set_record)
    # Named, never called.
    silent = ["numpy.ndarray", "builtins.object", "__builtin__.object", "torch.nn.parameter.Parameter"]
    silent += [f"torch.{kind}" for kind in (*STORAGE_TYPES, *_DTYPES)]
    silent += ["torch.storage.UntypedStorage", "torch.storage.TypedStorage"]
    return names | {name: Global(name) for name in silent}
