"""Files made to do harm: each is refused with a clear error, and nothing in any of them runs.

Whatever ran by mistake would leave a mark: the canary file, or an imported module.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import CheckpointError, UnsafeCheckpointError
from core.generators.importing import import_checkpoint
from tests.core.checkpoints import writers


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that hostile code would make. It must not be there at the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something in the file ran"


def refused(content: bytes, tmp_path: Path, name: str = "hostile.pkl") -> UnsafeCheckpointError:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnsafeCheckpointError) as caught:
        import_checkpoint(path)
    assert caught.value.code == "unsafe_checkpoint"
    return caught.value


class Calls:
    """Pickles as a call."""

    def __init__(self, callee: Any, *arguments: Any) -> None:
        self.parts = callee, arguments

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_shell_command(protocol: int, canary: Path, tmp_path: Path) -> None:
    content = pickle.dumps({"G_ema": Calls(os.system, f"touch {canary}")}, protocol)
    error = refused(content, tmp_path)
    assert [problem.pointer for problem in error.problems] == [f"{os.system.__module__}.system"]
    # The same bytes do harm where they are unpickled: the canary works.
    pickle.loads(content)
    assert canary.exists()
    canary.unlink()


def named(module: str, name: str, *, how: str) -> bytes:
    """A pickle that names something, in each way there is, and calls it."""
    text = f"{module}\n{name}\n".encode()
    short = [bytes([0x8C, len(part)]) + part.encode() for part in (module, name)]
    argument = b"\x8c\x06CANARY"
    return {
        "GLOBAL": b"\x80\x02c" + text + argument + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + short[0] + short[1] + b"\x93" + argument + b"\x85R.",
        "INST": b"\x80\x02(" + argument + b"i" + text + b".",
        "OBJ": b"\x80\x02(c" + text + argument + b"o.",
        "NEWOBJ": b"\x80\x02c" + text + argument + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04c" + text + argument + b"\x85}\x92.",
        "memo": b"\x80\x02c" + text + b"q\x000h\x00" + argument + b"\x85R.",
    }[how]


@pytest.mark.parametrize("how", ["GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "memo"])
@pytest.mark.parametrize(
    "hostile",
    [
        "os.system",
        "posix.system",
        "nt.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.exec",
        "__builtin__.eval",
        "builtins.getattr",
        "builtins.__import__",
        "builtins.open",
        "operator.attrgetter",
        "functools.partial",
        "importlib.import_module",
        "runpy.run_path",
        "torch.load",
        "torch.serialization.load",
        "torch.hub.load",
        "torch.jit._script.unpackage_script_module",
        "torch.storage.torch.os.system",
        "torch._utils.torch.load",
        "numpy.load",
        "numpy.testing._private.utils.runstring",
        "numpy.core.multiarray.fromfile",
        "collections.OrderedDict.__class__",
        "dnnlib.util.call_func_by_name",
        "dnnlib.util.open_url",
        "torch_utils.persistence._src_to_module",
        "copyreg.__newobj__",
        "pickle.loads",
        "_pickle.Unpickler",
        "types.CodeType",
        "sys.exit",
        "ctypes.CDLL",
        "webbrowser.open",
    ],
)
def test_every_other_name_is_refused_by_name(hostile: str, how: str, tmp_path: Path, canary: Path) -> None:
    module, _, name = hostile.rpartition(".")
    error = refused(named(module, name, how=how), tmp_path)
    assert [problem.pointer for problem in error.problems] == [hostile]


def test_dots_in_a_name_lead_nowhere(tmp_path: Path, canary: Path) -> None:
    error = refused(named("torch._utils", "_rebuild_tensor_v2.__globals__", how="STACK_GLOBAL"), tmp_path)
    assert error.problems[0].pointer == "torch._utils._rebuild_tensor_v2.__globals__"


def test_source_in_a_module_is_never_run(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "network.pkl"
    source = f"open({str(canary)!r}, 'w').close()\n"
    path.write_bytes(writers.nvidia_pickle(writers.nvidia_state(writers.trained()), source=source))
    assert source.encode() in path.read_bytes()
    assert import_checkpoint(path).report.format == "nvidia-pytorch"


def test_setting_a_state_calls_no_setstate(tmp_path: Path, canary: Path) -> None:
    # A tensor type, an allowed name, with a state: BUILD would call its __setstate__.
    error = refused(b"\x80\x02ctorch\nFloatStorage\n}b.", tmp_path)
    assert "sets the state" in str(error)
    error = refused(b"\x80\x02ctorch\nFloatStorage\n)R.", tmp_path)
    assert error.problems[0].pointer == "torch.FloatStorage"


def nested(payload: bytes, levels: int = 1) -> bytes:
    """``payload`` inside calls of torch's loader of nested bytes."""
    for _ in range(levels):
        head = b"\x80\x04\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93"
        payload = head + b"\x8e" + struct.pack("<Q", len(payload)) + payload + b"\x85R."
    return payload


def test_pickles_inside_pickles_go_through_the_same_door(tmp_path: Path, canary: Path) -> None:
    inner = pickle.dumps(Calls(os.system, f"touch {canary}"), 2)
    assert refused(nested(inner), tmp_path).problems[0].pointer.endswith(".system")
    assert refused(nested(inner, 2), tmp_path).problems[0].pointer.endswith(".system")
    assert "pickles inside pickles" in str(refused(nested(pickle.dumps(1, 2), 50), tmp_path))


def test_a_hostile_torch_file_in_both_forms(tmp_path: Path, canary: Path) -> None:
    for new in (True, False):
        content = io.BytesIO()
        torch.save({"g_ema": Calls(os.system, f"touch {canary}")}, content, _use_new_zipfile_serialization=new)
        assert refused(content.getvalue(), tmp_path, "g.pt").problems[0].pointer.endswith(".system")


def test_bombs_end_at_a_limit(tmp_path: Path) -> None:
    """Each is a few bytes, or a few megabytes, and would take a reader's memory, stack or time."""
    billion_laughs = b"\x80\x02]q\x00" + b"".join(
        b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 10 + b"e" for i in range(1, 100)
    )
    path = tmp_path / "laughs.pkl"
    path.write_bytes(billion_laughs + b".")
    with pytest.raises(CheckpointError):
        import_checkpoint(path)
    assert "deep" in str(refused(b"\x80\x02N" + b"\x85" * 100_000 + b".", tmp_path))
    assert "as a key" in str(refused(b"\x80\x02}N" + b"\x85" * 100_000 + b"Ns.", tmp_path))
    assert "brackets" in str(refused(b"\x80\x02" + b"(" * 100_000 + b".", tmp_path))
    assert "instructions" in str(refused(b"\x80\x02" + b"N" * 2_100_000 + b".", tmp_path))
    assert "absurd" in str(refused(b"\x80\x02\x8b" + struct.pack("<i", 1 << 28) + bytes(1 << 16) + b".", tmp_path))


@pytest.mark.parametrize(
    "code", [b"\x8e", b"\x8d", b"\x96", b"\x95"], ids=["BINBYTES8", "BINUNICODE8", "BYTEARRAY8", "FRAME"]
)
@pytest.mark.parametrize("size", [1 << 40, 1 << 63, (1 << 64) - 1])
def test_declared_sizes_allocate_nothing(code: bytes, size: int, tmp_path: Path) -> None:
    refused(b"\x80\x04" + code + struct.pack("<Q", size) + b"x.", tmp_path)


def test_a_huge_memo_index_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    with pytest.raises(CheckpointError, match="no known generator"):
        import_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02.",
        b"\x80\x02R.",
        b"\x80\x02Nb.",
        b"\x80\x02h\x07.",
        b"\x80\x02t.",
        b"\x80\x02}NNNu.",
        b"\x80\x02}(Nu.",
        b"\x80\x02Na.",
        b"\x80\x02N]s.",
        b"\x80\x02}]Ns.",
        b"\x80\x09N.",
        b"\x80\x02c" + b"x" * 10_000,
        b"\x80\x02cos",
        b"\x80\x04\x8c\x02\xff\xfe.",
        b"\x80\x04NN\x93.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
        b"\x80\x02I1\n.",
        b"\x80\x02Q.",
        b"\x80\x02NQ.",
        b"\x80\x02\xfe.",
        b"\x80",
    ],
)
def test_damaged_pickles(content: bytes, tmp_path: Path) -> None:
    refused(content, tmp_path)


def test_every_truncation_is_told(tmp_path: Path) -> None:
    content = writers.nvidia_pickle(writers.nvidia_state(writers.trained()))
    for length in {2, 3, 10, 100, *range(500, len(content), len(content) // 25), len(content) - 1}:
        refused(content[:length], tmp_path)


def test_flipped_bytes_never_do_more_than_fail(tmp_path: Path, canary: Path) -> None:
    content = writers.nvidia_pickle(writers.nvidia_state(writers.trained()))
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        for place in random.integers(2, min(len(content), 6000), 3):
            broken[place] = random.integers(256)
        path = tmp_path / "broken.pkl"
        path.write_bytes(bytes(broken))
        try:
            import_checkpoint(path)
        except CheckpointError:
            continue


def tensor(size: str, stride: str, offset: str = "K\x00") -> bytes:
    """A tensor of four numbers whose geometry is given in pickle instructions."""
    storage = io.BytesIO()
    torch.save(torch.zeros(4).storage(), storage, _use_new_zipfile_serialization=False)
    head = b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n(" + nested(storage.getvalue())[2:-1]
    return head + offset.encode("latin-1") + size.encode("latin-1") + stride.encode("latin-1") + b"\x89}tR."


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ("K\x05\x85", "K\x01\x85", "K\x00"),
        ("K\x04\x85", "K\x02\x85", "K\x00"),
        ("K\x04\x85", "K\x01\x85", "K\x01"),
        ("K\x04\x85", "K\x01\x85", "J\xff\xff\xff\xff"),
        ("K\x04\x85", "J\xff\xff\xff\xff\x85", "K\x03"),
        ("J\x00\x00\x00\x40J\x00\x00\x00\x40\x86", "K\x00K\x00\x86", "K\x00"),
        ("K\x02\x85", "K\x01K\x01\x86", "K\x00"),
        ("N", "K\x01\x85", "K\x00"),
        ("(" + "K\x01" * 40 + "t", "(" + "K\x01" * 40 + "t", "K\x00"),
    ],
)
def test_tensors_never_reach_outside_of_their_storage(size: str, stride: str, offset: str, tmp_path: Path) -> None:
    assert "tensor" in str(refused(tensor(size, stride, offset), tmp_path))


def test_a_storage_that_lies_about_its_length(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"g_ema": {"input.input": torch.zeros(1000)}}, content, _use_new_zipfile_serialization=False)
    whole = content.getvalue()
    at = whole.index(struct.pack("<q", 1000), len(whole) - 4100)
    lying = whole[:at] + struct.pack("<q", 1 << 40) + whole[at + 8 :]
    refused(lying, tmp_path, "lying.pt")
    refused(whole[:-4], tmp_path, "short.pt")


def zipped(**entries: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name.replace('_', '.')}", data)
    return content.getvalue()


def test_zips_that_torch_never_writes(tmp_path: Path, canary: Path) -> None:
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    assert "compressed" in str(refused(compressed.getvalue(), tmp_path, "bomb.pt"))
    hostile = zipped(data_pkl=pickle.dumps(Calls(os.system, f"touch {canary}"), 2))
    assert refused(hostile, tmp_path, "g.pt").problems[0].pointer.endswith(".system")
    missing = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ."
    assert "not in the file" in str(refused(zipped(data_pkl=missing), tmp_path, "g.pt"))
    for content in (zipped(readme=b"x"), b"PK\x03\x04" + bytes(100), zipped(data_pkl=b"\x80\x02N.")[:-30]):
        path = tmp_path / "g.pt"
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            import_checkpoint(path)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (lambda: torch.zeros(3, 3).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8), "torch._utils._rebuild_qtensor"),
        (lambda: torch.zeros(3, device="meta"), "_rebuild_meta_tensor"),
        (lambda: np.array([{"a": 1}], dtype=object), "only plain numbers"),
        (lambda: np.zeros(3, dtype=[("a", "f4")]), "only plain numbers"),
        (lambda: np.array(["text"]), "only plain numbers"),
        (lambda: np.zeros(3, ">f4"), "little-endian"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor|.*[Qq]uantized")
def test_odd_tensors_and_arrays(value: Callable[[], Any], told: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"g_ema": value()}, content)
    assert told in str(refused(content.getvalue(), tmp_path, "g.pt"))


def test_an_import_does_not_grow_beyond_the_file(tmp_path: Path) -> None:
    """Many views of one storage are as many tensors; their memory is counted before any is read."""
    shared = torch.zeros(1 << 18)
    state = {f"mapping.fc{i}.weight": shared for i in range(9000)}
    torch.save({"g_ema": state}, tmp_path / "views.pt")
    assert (tmp_path / "views.pt").stat().st_size < 8 << 20
    with pytest.raises(UnsafeCheckpointError, match="need 9437184000 bytes"):
        import_checkpoint(tmp_path / "views.pt")


def test_safetensors_with_a_lying_header(tmp_path: Path) -> None:
    for header in (
        b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4000000]}}',
        b'{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}',
        b"{" * 50_000,
        b'{"__metadata__":{"offhand":"' + b"[" * 50_000 + b'"}}',
        b'{"__metadata__":{"offhand":"{}"}}',
    ):
        path = tmp_path / "lying.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with pytest.raises(CheckpointError):
            import_checkpoint(path)


def test_reading_imports_nothing_that_a_file_names(tmp_path: Path) -> None:
    """In a process of its own: no module of a file's choosing is imported, not even a harmless one."""
    path = tmp_path / "names.pkl"
    path.write_bytes(named("antigravity", "fly", how="GLOBAL"))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from core.errors import UnsafeCheckpointError\n"
        "from core.generators.importing import import_checkpoint\n"
        "try:\n    import_checkpoint(Path(sys.argv[1]))\n"
        "except UnsafeCheckpointError:\n    sys.exit(10 if 'antigravity' in sys.modules else 0)\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, check=False).returncode == 0
