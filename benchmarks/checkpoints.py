"""Importing checkpoints: time and peak memory against the size of the file.

    python -m benchmarks.checkpoints --json FILE [--resolution 1024] [--repeats 3] [--preview]

A config-f StyleGAN2 of random weights is written as NVIDIA's training pickles it (one network), as rosinality's project
saves it, and in our own form. Each is imported in a process of its own, from reading the file to having stored ours.
Memory is what the process held at most beyond what it held before (Linux's high-water mark, pages of the mapped file
included).
"""

import argparse
import json
import multiprocessing
import pickle
import platform
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from core.generators.files import save_generator
from core.generators.importing import import_checkpoint
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.visualization.generator_preview import preview

MOST_MEMORY, MOST_SECONDS = 2.2, 10.0


def random_generator(resolution: int) -> Network:
    """Config-f: 512 channels up to 64 pixels, then halving."""
    torch.manual_seed(0)
    blocks = resolution.bit_length() - 2
    channels = {block: min(512, 32768 // (4 << block)) for block in range(blocks)}
    config = StyleGAN2Config(resolution=(resolution, resolution), channels=channels)
    return Network(config).eval().requires_grad_(False)


class _Module:
    """Pickles as a module of NVIDIA's does."""

    def __init__(
        self, reconstruct: Callable[[Any], Any], tensors: Mapping[str, Tensor], name: str = "Generator"
    ) -> None:
        own = {key: tensor for key, tensor in tensors.items() if "." not in key}
        children: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            child, dot, rest = key.partition(".")
            if dot:
                children.setdefault(child, {})[rest] = tensor
        settings: dict[str, Any] = {"bias_gain": 0.01} if name.startswith("fc") else {"conv_clamp": None}
        modules = {child: _Module(reconstruct, content, child) for child, content in children.items()}
        self._reconstruct = reconstruct
        self._meta = {
            "class_name": name,
            "module_src": "",
            "state": {"_parameters": own, "_buffers": {}, "_modules": modules, **settings},
        }

    def __reduce__(self) -> Any:
        return self._reconstruct, (self._meta,)


def write_nvidia(path: Path, generator: Network) -> None:
    """A snapshot with one generator, each storage a pickle of its own as torch nests them."""
    state = {"mapping.w_avg": generator.w_avg, "synthesis.b4.const": generator.constant.data}
    for name, tensor in generator.state_dict().items():
        parts = name.split(".")
        if parts[0] == "mapping":
            state[f"mapping.fc{parts[2]}.{parts[3]}"] = tensor
        elif parts[0] == "blocks":
            layer, rest = parts[2].replace("to_rgb", "torgb"), ".".join(parts[3:])
            shaped = tensor[:, :, None, None] if (layer, rest) == ("torgb", "weight") else tensor
            rest = "noise_const" if rest == "noise" else rest
            state[f"synthesis.b{4 << int(parts[1])}.{layer}.{rest}"] = shaped

    def reconstruct(_: Any) -> Any:
        raise AssertionError("nothing of a checkpoint is called")

    name = "_reconstruct_persistent_obj"
    reconstruct.__module__, reconstruct.__name__, reconstruct.__qualname__ = "torch_utils.persistence", name, name
    modules = {one: types.ModuleType(one) for one in ("torch_utils", "torch_utils.persistence")}
    setattr(modules["torch_utils.persistence"], name, reconstruct)
    sys.modules |= modules
    try:
        with path.open("wb") as file:
            pickle.dump({"G_ema": _Module(reconstruct, state)}, file, protocol=4)
    finally:
        for one in modules:
            del sys.modules[one]


def write_rosinality(path: Path, generator: Network) -> None:
    """A converted checkpoint with one generator."""
    state = {"input.input": generator.constant.data[None]}
    for name, tensor in generator.state_dict().items():
        parts = name.split(".")
        if parts[0] == "mapping":
            state[f"style.{int(parts[2]) + 1}.{parts[3]}"] = tensor
        if parts[0] != "blocks":
            continue
        block, layer, rest = int(parts[1]), parts[2], ".".join(parts[3:])
        number = 2 * block - 2 + int(layer[-1]) if layer != "to_rgb" and block else -1
        prefix = f"convs.{number}" if block else "conv1"
        bias, shaped = "activate.bias", tensor
        if layer == "to_rgb":
            prefix, bias = f"to_rgbs.{block - 1}" if block else "to_rgb1", "bias"
        if rest == "weight":
            shaped = tensor[None, :, :, None, None] if layer == "to_rgb" else tensor[None]
        names = {"weight": "conv.weight", "bias": bias, "noise_strength": "noise.weight"}
        names |= {f"affine.{part}": f"conv.modulation.{part}" for part in ("weight", "bias")}
        state[f"noises.noise_{number + 1}" if rest == "noise" else f"{prefix}.{names[rest]}"] = shaped
    torch.save({"g_ema": state, "latent_avg": generator.w_avg}, path)


def write_own(path: Path, generator: Network) -> None:
    """Our weights, which describe themselves."""
    save_generator(path.parent / "own", StyleGAN2Generator(generator, GeneratorInfo(name="own")))
    (path.parent / "own" / "generator.safetensors").rename(path)


WRITERS = {"nvidia.pkl": write_nvidia, "rosinality.pt": write_rosinality, "own.safetensors": write_own}


def measure_import(path: Path, warm: Path, with_preview: bool, answer: Any) -> None:
    """In a process of its own: import and store; what it took."""
    torch.set_num_threads(2)
    import_checkpoint(warm)  # whatever is loaded at first use is not the file's doing
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # reset the high-water mark
    begun, worked = time.perf_counter(), time.process_time()
    imported = import_checkpoint(path)
    save_generator(path.parent / "stored", imported.generator)
    result = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - worked,
        "peak_bytes": _status("VmHWM") - held,
    }
    if with_preview:
        begun = time.perf_counter()
        preview(imported.generator, title=path.name)
        result["preview_seconds"] = time.perf_counter() - begun
    answer.send(result)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in /proc/self/status")


def measure(resolution: int, repeats: int, with_preview: bool) -> list[dict[str, Any]]:
    """A row for each kind of file; medians of time, the highest memory."""
    spawn, rows = multiprocessing.get_context("spawn"), []
    with TemporaryDirectory(prefix="offhand-") as folder:
        warm = Path(folder) / "warm.pkl"
        write_nvidia(warm, random_generator(8))
        for name, write in WRITERS.items():
            path = Path(folder) / name
            write(path, random_generator(resolution))
            results = []
            for _ in range(repeats):
                ours, theirs = spawn.Pipe()
                process = spawn.Process(target=measure_import, args=(path, warm, with_preview, theirs))
                process.start()
                theirs.close()
                results.append(ours.recv())
                process.join()
            size, peak = path.stat().st_size, max(result["peak_bytes"] for result in results)
            row = {
                "file": name,
                "resolution": resolution,
                "file_mib": round(size / 2**20, 1),
                "seconds": round(median(result["seconds"] for result in results), 3),
                "cpu_seconds": round(median(result["cpu_seconds"] for result in results), 3),
                "peak_mib": round(peak / 2**20, 1),
                "peak_over_file": round(peak / size, 3),
            }
            if with_preview:
                row["preview_seconds"] = round(median(result["preview_seconds"] for result in results), 2)
            rows.append(row)
            path.unlink()
    return rows


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--preview", action="store_true", help="draw the grid of samples as well, timed apart")
    arguments = parser.parse_args(words)
    rows = measure(arguments.resolution, arguments.repeats, arguments.preview)
    print(f"{'file':<16} {'MiB':>8} {'seconds':>8} {'peak MiB':>9} {'peak/file':>9}")
    for row in rows:
        figures = f"{row['file_mib']:>8} {row['seconds']:>8} {row['peak_mib']:>9} {row['peak_over_file']:>9}"
        print(f"{row['file']:<16} {figures}")
    aims = {"peak_over_file": MOST_MEMORY, "seconds": MOST_SECONDS}
    missed = [
        f"{row['file']}: {name} {row[name]} > {most}" for row in rows for name, most in aims.items() if row[name] > most
    ]
    print("aims met" if not missed else "aims missed: " + "; ".join(missed))
    machine = {"platform": platform.platform(), "torch": torch.__version__, "threads": 2}
    arguments.json.write_text(json.dumps({"machine": machine, "aims": aims, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
