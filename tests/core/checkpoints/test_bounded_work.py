"""Small files that ask for hours or for all memory: each is refused by its budget, in seconds."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.callbacks import never_stop
from core.errors import CheckpointError, UnsafeCheckpointError
from core.generators.files import FORMAT, METADATA
from core.generators.importing import import_checkpoint
from core.generators.stylegan2 import importing as stylegan2_importing
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from tests.core.checkpoints import crafted, writers
from tests.core.checkpoints.crafted import PRIME, copies, named, number, pickled, text


def refused(content: bytes, tmp_path: Path) -> CheckpointError:
    path = tmp_path / "crafted.pkl"
    path.write_bytes(content)
    begin = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    assert time.process_time() - begin < 20
    return caught.value


def test_modules_that_share_modules_are_counted_each_time(tmp_path: Path) -> None:
    content = crafted.shared_modules()
    assert len(content) < 60_000
    assert "modules and entries" in str(refused(content, tmp_path))


def test_components_that_share_components_are_counted_each_time(tmp_path: Path) -> None:
    assert "modules and entries" in str(refused(crafted.shared_components(), tmp_path))


MANY = b"](" + b"".join(number(index) for index in range(20_000)) + b"e"


@pytest.mark.parametrize(
    "content",
    [
        copies("_codecs encode", text("a" * 1_000_000), 5000),
        copies("collections OrderedDict", crafted.pairs(20_000), 5000),
        copies("builtins frozenset", MANY, 5000),
        copies("pathlib PosixPath", b"(" + text("a" * 4000) * 90 + b"t", 5000, spread=True),
        crafted.builds(20_000, 5000),
        crafted.nested(5000, 1_000_000),
    ],
    ids=["encode", "OrderedDict", "frozenset", "path", "Namespace", "nested"],
)
def test_copies_of_one_value_are_counted_each_time(content: bytes, tmp_path: Path) -> None:
    assert len(content) < 2_000_000
    assert "copies of its values" in str(refused(content, tmp_path))


@pytest.mark.parametrize(
    "keys",
    [
        (number(index * PRIME) for index in range(2000)),
        (number(-index * PRIME) for index in range(2000)),
        (b"G" + struct.pack(">d", 2.0 ** (61 * (index % 16)) * (index + 1)) for index in range(2000)),
        (number(index) + number(index) + b"\x86" for index in range(2000)),
    ],
    ids=["positive", "negative", "floats", "tuples"],
)
def test_keys_whose_hashes_collide_are_limited(keys: Iterable[bytes], tmp_path: Path) -> None:
    keys = list(keys)
    assert "keys that are floats" in str(refused(crafted.keys(keys), tmp_path))
    assert "keys that are floats" in str(refused(pickled(b"\x8f(" + b"".join(keys) + b"\x90"), tmp_path))
    assert "keys that are floats" in str(refused(pickled(b"(" + b"".join(keys) + b"\x91"), tmp_path))


def test_addresses_as_keys_are_read(tmp_path: Path) -> None:
    """Optimisers of old PyTorch have the addresses of tensors as keys."""
    content = crafted.keys(number(140_000_000_000_000 + 64 * index) for index in range(2000))
    assert "no known generator" in str(refused(content, tmp_path))


@pytest.mark.parametrize("key", [text("k" * 5000), b"(" + b"K\x01" * 17 + b"t"])
def test_long_keys_are_refused(key: bytes, tmp_path: Path) -> None:
    assert "key" in str(refused(crafted.keys([key]), tmp_path))


def test_a_setting_that_repeats_itself_is_not_written_out(tmp_path: Path) -> None:
    """Ten lists of ten lists, sixty deep: its text would have 10**60 characters."""
    state = writers.nvidia_state(writers.trained())
    marker = "laughing out loud"
    content = writers.nvidia_pickle(state, attributes={"activation": marker}, protocol=2)
    path = tmp_path / "laughs.pkl"
    path.write_bytes(content.replace(text(marker), crafted.laughs(), 1))
    with pytest.raises(CheckpointError, match="activation a list, not 'lrelu'"):
        import_checkpoint(path)
    odd_type = pickled(named("numpy dtype") + crafted.laughs() + b"\x85R")
    assert "an array of type a list" in str(refused(odd_type, tmp_path))


@pytest.mark.parametrize("size", [[0, 2**64], [2**64, 0], [0, 2**40, 2**40], [2**63], [0] * 17, [2**2000]])
def test_absurd_sizes_are_refused(size: list[int], tmp_path: Path) -> None:
    shape = b"(" + b"".join(map(number, size)) + b"t"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape
    array += b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R\x89C\x00tb"
    assert "whose shape is" in str(refused(pickled(array), tmp_path))
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x00tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + shape + b"\x89}tR"
    assert "whose size is" in str(refused(older_file(tensor), tmp_path))


def older_file(body: bytes) -> bytes:
    """A file of the older torch.save around a value that refers to the empty storage "0"."""
    about = crafted.items([(text("little_endian"), b"\x88")])
    parts = (number(0x1950A86A20F9469CFC6C), number(1001), about, body, b"]" + text("0") + b"a")
    return b"".join(map(pickled, parts)) + struct.pack("<q", 0)


@pytest.mark.parametrize("size", [(0, 512), (0,)])
def test_empty_tensors_of_usual_sizes_are_read(size: tuple[int, ...], tmp_path: Path) -> None:
    state = writers.rosinality_state(writers.trained(replace(writers.SMALL, conv_clamp=None)))
    torch.save({"g_ema": state, "extra": torch.zeros(size)}, tmp_path / "g.pt")
    assert import_checkpoint(tmp_path / "g.pt").report.format == "rosinality"
    state["empty"] = torch.zeros(size)
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match="nothing in this generator takes it"):
        import_checkpoint(tmp_path / "g.pt")


@pytest.mark.parametrize("block", ["b²", "b٤", "b" + "4" * 5000, "b04", "b-4", "b4.0", "b0", "b"])
def test_odd_block_names_are_refused_by_name(block: str, tmp_path: Path) -> None:
    state = {
        name.replace("synthesis.b8.", f"synthesis.{block}."): tensor.contiguous()
        for name, tensor in writers.nvidia_state(writers.trained()).items()
    }
    path = tmp_path / "odd.pkl"
    path.write_bytes(writers.nvidia_pickle(state))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    assert "this file holds values outside a generator's range" not in caught.value.detail


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), -1.0, 0, 1e300, 2**1000])
@pytest.mark.parametrize("setting", ["lr_multiplier", "clamp"])
def test_numbers_beyond_floats_are_refused_by_name(value: float, setting: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(writers.nvidia_pickle(writers.nvidia_state(writers.trained()), **{setting: value}))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    (problem,) = caught.value.problems
    names = {
        "lr_multiplier": ("mapping_lr_multiplier", "mapping.….bias_gain"),
        "clamp": ("conv_clamp", "synthesis.….conv_clamp"),
    }
    assert problem.pointer in names[setting]


@pytest.mark.parametrize("value", [3e38, -3e38, 1e9, float("inf"), float("nan")])
@pytest.mark.parametrize(
    "name", ["mapping.fc0.weight", "mapping.fc1.bias", "synthesis.b8.conv0.bias", "synthesis.b4.conv1.noise_const"]
)
def test_weights_that_overflow_are_refused_by_name(value: float, name: str, tmp_path: Path) -> None:
    state = {key: tensor.clone() for key, tensor in writers.nvidia_state(writers.trained()).items()}
    state[name].view(-1)[0] = value
    path = tmp_path / "large.pkl"
    path.write_bytes(writers.nvidia_pickle(state))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    assert [problem.pointer for problem in caught.value.problems] == [name]


def test_views_of_one_storage_may_not_outgrow_the_file(tmp_path: Path) -> None:
    shared = torch.zeros(1 << 18)
    state = {"input.input": shared, **{f"style.{index}.weight": shared for index in range(199)}}
    torch.save({"g_ema": state}, tmp_path / "views.pt")
    with pytest.raises(UnsafeCheckpointError, match="its tensors need 209715200 bytes"):
        import_checkpoint(tmp_path / "views.pt")


def test_a_mapping_network_of_absurd_depth_is_refused(tmp_path: Path) -> None:
    state = writers.rosinality_state(writers.trained(replace(writers.SMALL, conv_clamp=None)))
    one, zero = state["style.2.weight"], state["style.2.bias"]
    state |= {f"style.{index}.weight": one for index in range(4, 3000)}
    state |= {f"style.{index}.bias": zero for index in range(4, 3000)}
    torch.save({"g_ema": state}, tmp_path / "deep.pt")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tmp_path / "deep.pt")
    assert [problem.pointer for problem in caught.value.problems] == ["mapping_layers"]


def test_names_that_a_file_gives_are_made_printable(tmp_path: Path) -> None:
    network = writers.trained(replace(writers.SMALL, c_dim=2))
    info = {"name": "cats", "licence": "", "domain": "\x1b[2J", "digest": "", "options": {"noise": "const"}}
    info["classes"] = ["\ud800first", "other\0"]  # type: ignore[assignment]
    description = {"format": FORMAT, "family": "stylegan2", "config": network.config.to_json(), "info": info}
    path = tmp_path / "odd.safetensors"
    save_file(network.state_dict(), path, {METADATA: json.dumps(description)})
    imported = import_checkpoint(path)
    assert imported.generator.info.classes == ("\\ud800first", "other\\x00")
    assert imported.report.facts["domain"] == "\\x1b[2J"
    torch.save({"\ud800\x1b": {"decoder.input.input": torch.zeros(1)}}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tmp_path / "odd.pt")
    assert str(caught.value).replace("\n", " ").isprintable()


def test_a_table_of_many_generators_is_refused(tmp_path: Path) -> None:
    """All its names would be looked at for each of them."""
    one = torch.zeros(1)
    torch.save({f"m{index}.input.input": one for index in range(5000)}, tmp_path / "many.pt")
    with pytest.raises(CheckpointError, match="too many generators"):
        import_checkpoint(tmp_path / "many.pt")


def test_a_generator_whose_image_no_machine_draws_is_refused(tmp_path: Path) -> None:
    config = StyleGAN2Config(
        resolution=(4096, 4096), channels={**dict.fromkeys(range(10), 1), 10: 32}, z_dim=2, w_dim=2
    )
    with torch.device("meta"):
        state = writers.nvidia_state(Network(config))
    silent = {
        name: torch.zeros(tensor.shape)
        for name, tensor in state.items()
        if "noise" not in name and "filter" not in name
    }
    path = tmp_path / "huge.pkl"
    path.write_bytes(writers.nvidia_pickle(silent, noise=False))
    with pytest.raises(UnsafeCheckpointError, match="one image takes 2147483648 bytes"):
        import_checkpoint(path)


def test_many_classes_are_mapped_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(replace(writers.SMALL, c_dim=65_536)).requires_grad_(False)
    seen = []

    def mapped(z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        seen.append(c.numel())
        return z[:, :1].expand(-1, 7)

    monkeypatch.setattr(network.mapping, "forward", mapped)
    stylegan2_importing._mean_code(network, 0, never_stop)
    assert max(seen) <= 1 << 22
    assert sum(seen) == 10_000 * 65_536


def test_safetensors_with_absurd_shapes_are_refused(tmp_path: Path) -> None:
    for shape in ([0, 2**64 - 1], [2**63, 0], [0, 2**62, 2**62]):
        header = json.dumps({"input.input": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
        path = tmp_path / "odd.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(CheckpointError):
            import_checkpoint(path)
    save_file({"input.input": torch.zeros(1, 2, 4, 4)}, path)
    with pytest.raises(CheckpointError, match="not a StyleGAN2 generator"):
        import_checkpoint(path)


@pytest.mark.parametrize(
    "count", [3, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])], ids=["few", "many"]
)
def test_random_pickles_end_within_a_minute_and_two_gibibytes(count: int, repository: Path, tmp_path: Path) -> None:
    seeds = map(str, range(count))
    command = [sys.executable, "-m", "tests.core.checkpoints.crafted", str(tmp_path), *seeds]
    done = subprocess.run(
        command, cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == count
    for seed, _, seconds, outcome in results:
        assert seconds < 60, (seed, outcome)
