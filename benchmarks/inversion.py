"""Inversion: ours against the plain loop that takes one image after the other, in one run on one machine.

    python -m benchmarks.inversion --json FILE [--resolution 64] [--images 8] [--steps 20] [--repeats 3]
                                   [--arms plain,ours] [--compile]

Both make the same updates from the same start (the mean code) by the same losses (LPIPS over VGG-16 and the squared
error, in the same ball), with nothing that ends an image early; so the final losses must agree. The plain loop is the
papers': one code at a time, torch's Adam, both images through the perceptual network at every step. Speed does not
depend on the numbers in the networks: generator (config-f) and trunk are random, the targets are the generator's own
images. `float32` is ours once more without bfloat16, which it takes where the device has instructions for it
(`autocast`); `early_stop` is ours as the service runs it by default, where images on a plateau leave. All four
alternate. Beside the clock's seconds stand the processor's, which other work on the machine disturbs less.

`--compile` asks whether torch.compile would pay: seconds of the processor for one step of ours as it is and compiled,
and what compiling takes, which comes again for every size of the batch.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch._dynamo
from torch import Tensor

from core.generators.interface import Invertible
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.image_arrays import to_bytes, to_float
from core.inversion.batching import images_at_once
from core.inversion.config import InversionConfig
from core.inversion.initial_codes import latent_spread
from core.inversion.objective import Objective, project
from core.inversion.perceptual.distance import Perceptual
from core.inversion.perceptual.lpips import Lpips
from core.inversion.refine import invert
from core.inversion.refinement import learning_rate
from core.run import Run
from core.torchvision_import import import_torchvision

ARMS = ("plain", "ours", "float32", "early_stop")
SIZES = {64: (8, 20), 256: (2, 20), 512: (32, 50), 1024: (16, 50)}
"""Resolution → images, steps: minutes on two cores at 64 and 256, on a GPU at the others."""


def random_generator(resolution: int, device: torch.device, width: int = 32768) -> StyleGAN2Sampler:
    """A StyleGAN2 of random weights with config-f's widths (512 channels up to 64 pixels, then halving)."""
    torch.manual_seed(0)
    blocks = resolution.bit_length() - 2
    channels = {block: min(512, width // (4 << block)) for block in range(blocks)}
    network = Network(StyleGAN2Config(resolution=(resolution, resolution), channels=channels))
    sampler = StyleGAN2Generator(network.to(device).eval().requires_grad_(False)).bind()
    network.w_avg.copy_(sampler.random_rows(4096, seed=1).mean(0))
    return sampler


def random_lpips(device: torch.device) -> Lpips:
    """LPIPS over a VGG-16 of random weights: the arithmetic of the real one."""
    import_torchvision()  # before lpips, which imports it
    import lpips

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    return Lpips("vgg", network).to(device)


def plain_inversion(
    generator: Invertible, perceptual: Perceptual, images: Tensor, config: InversionConfig, radius: float
) -> tuple[Tensor, Tensor]:
    """The reference, image after image: best codes [N, rows, width] and their losses [N]."""
    objective = Objective.of(generator, perceptual, config)
    found, losses = [], []
    for image in images:
        target = to_float(image[None])
        start = generator.centre.expand(1, generator.rows, -1)
        codes = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([codes], lr=1.0)
        best, lowest = codes.detach().clone(), torch.full((1,), torch.inf, device=image.device)
        for step in range(config.steps + 1):
            drawn = objective.comparable(generator.image_of(codes))
            wanted = objective.comparable(target)
            # As the lpips package does: both images through the network, every time.
            distance = perceptual.compare(perceptual.features(drawn), perceptual.features(wanted))
            loss = objective.perceptual_weight * distance
            loss = loss + objective.l2_weight * (drawn - wanted).square().mean((1, 2, 3)) / 4
            if loss.item() < lowest.item():
                best, lowest = codes.detach().clone(), loss.detach()
            if step == config.steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(torch.tensor([step]), config).item()
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                codes.copy_(project(codes, start, radius, config.norm))
        found.append(best)
        losses.append(lowest)
    return torch.cat(found), torch.cat(losses)


def measure(
    resolution: int,
    count: int,
    steps: int,
    repeats: int,
    device: torch.device,
    width: int = 32768,
    arms: Sequence[str] = ARMS,
) -> dict[str, Any]:
    """One resolution: seconds and losses of ``arms``, alternating, the median of the repeats."""
    generator, perceptual = random_generator(resolution, device, width), random_lpips(device)
    codes = generator.random_rows(count, seed=2)[:, None].expand(-1, generator.rows, -1)
    with torch.no_grad():
        images = torch.cat([to_bytes(generator.image_of(one[None])) for one in codes])
    # The papers' coordinates: those of the plain loop.
    config = InversionConfig(steps=steps, patience=steps + 1, coordinates="code")
    plain = replace(config, precision="float32")
    radius = config.radius_without_encoder * latent_spread(generator)
    objective = Objective.of(generator, perceptual, config)

    def ours(settings: InversionConfig) -> Tensor:
        results = invert(
            generator,
            images.cpu(),
            encoder=None,
            perceptual=perceptual,
            config=settings,
            run=Run(device=device, seed=0),
        )
        return torch.cat([generator.free_part(result.codes) for result in results]).to(device)

    works: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain_inversion(generator, perceptual, images, plain, radius)[0],
        "ours": lambda: ours(config),
        "float32": lambda: ours(replace(config, precision="float32")),
        "early_stop": lambda: ours(replace(config, patience=InversionConfig.patience)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    processor: dict[str, list[float]] = {name: [] for name in arms}
    found: dict[str, Tensor] = {}
    for _ in range(repeats):
        for name in arms:
            wall, busy, found[name] = timed(works[name], device)
            seconds[name].append(wall)
            processor[name].append(busy)
    losses = {name: mean_loss(objective.exact, one, images) for name, one in found.items()}
    middle = {name: median(several) for name, several in seconds.items()}
    busy_middle = {name: median(several) for name, several in processor.items()}
    return {
        "resolution": resolution,
        "images": count,
        "steps": steps,
        "batch": images_at_once(objective, device),
        "autocast": objective.autocast,
        **{f"{name}_s": round(value, 3) for name, value in middle.items()},
        **{f"{name}_cpu_s": round(value, 3) for name, value in busy_middle.items()},
        **{f"{name}_images_per_s": round(count / value, 4) for name, value in middle.items()},
        **{f"{name}_loss": round(value, 7) for name, value in losses.items()},
        "start_loss": round(mean_loss(objective.exact, generator.centre.expand_as(codes), images), 7),
        "speedup": round(middle["plain"] / middle["ours"], 3),
        "speedup_cpu": round(busy_middle["plain"] / busy_middle["ours"], 3),
        **({"speedup_float32": round(middle["plain"] / middle["float32"], 3)} if "float32" in arms else {}),
        "seconds": {name: [round(one, 3) for one in several] for name, several in seconds.items()},
    }


def compiling(resolution: int, count: int, device: torch.device, width: int, repeats: int) -> dict[str, float]:
    """Whether torch.compile pays: one step (losses and their gradients) of ``count`` images, plain and compiled."""
    torch._dynamo.config.recompile_limit = 200  # the layers share their code and differ in shape
    generator, perceptual = random_generator(resolution, device, width), random_lpips(device)
    objective = Objective.of(generator, perceptual, InversionConfig())
    with torch.no_grad():
        target = objective.draw(generator.random_rows(count, seed=2)[:, None])
        features = objective.features(target)
    start = generator.centre.expand(count, generator.rows, -1)

    def losses(codes: Tensor) -> Tensor:
        return objective.losses(codes, start, target, features).total

    def step(of: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        def gradient() -> Tensor:
            codes = start.clone().requires_grad_()
            return torch.autograd.grad(of(codes).sum(), codes)[0]

        return gradient

    steps = {"plain": step(losses), "compiled": step(torch.compile(losses))}
    first = timed(steps["compiled"], device)[0]
    seconds = {
        f"{name}_step_cpu_s": round(median(timed(one, device)[1] for _ in range(repeats + 1)), 3)
        for name, one in steps.items()
    }
    return {"resolution": resolution, "images": count, "compiling_s": round(first, 1), **seconds}


def timed(work: Callable[[], Tensor], device: torch.device) -> tuple[float, float, Tensor]:
    """Seconds that the work takes by the clock and of the processor, and what it gives."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun, worked = time.perf_counter(), time.process_time()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun, time.process_time() - worked, result


@torch.no_grad()
def mean_loss(objective: Objective, codes: Tensor, images: Tensor) -> float:
    """Mean over images of what is minimised, drawn and compared one by one in float32."""
    losses = []
    for code, image in zip(codes, images, strict=True):
        target = to_float(image[None])
        losses.append(objective.losses(code[None], code[None], target, objective.features(target)).total)
    return float(torch.cat(losses).mean())


def main(arguments: list[str] | None = None) -> None:
    """Print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--resolution", type=int, action="append", choices=sorted(SIZES), help="default: 64 and 256")
    parser.add_argument("--images", type=int, help="instead of the resolution's own number")
    parser.add_argument("--steps", type=int, help="instead of the resolution's own number")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--arms", default=",".join(ARMS), help="which of these, `plain` and `ours` among them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="only whether torch.compile would pay")
    parser.add_argument("--width", type=int, default=32768, help="channels × pixels of a side; 32768 is config-f")
    chosen = parser.parse_args(arguments)
    device, arms = torch.device(chosen.device), tuple(chosen.arms.split(","))
    if not {"plain", "ours"} <= set(arms) <= set(ARMS):
        parser.error(f"--arms are of {', '.join(ARMS)}, and hold plain and ours")
    rows = []
    for resolution in chosen.resolution or [64, 256]:
        count, steps = SIZES[resolution]
        size = chosen.images or count, chosen.steps or steps
        if chosen.compile:
            rows.append(compiling(resolution, size[0], device, chosen.width, chosen.repeats))
            print(rows[-1], flush=True)
            continue
        row = measure(resolution, *size, chosen.repeats, device, chosen.width, arms)
        rows.append(row)
        print(
            f"{resolution:5} px  plain {row['plain_images_per_s']:.3f}/s (loss {row['plain_loss']:.4f})  "
            f"ours {row['ours_images_per_s']:.3f}/s (loss {row['ours_loss']:.4f})  × {row['speedup']:.2f}"
            f"  (× {row['speedup_cpu']:.2f} of the processor's time)",
            flush=True,
        )
    about = {
        "machine": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "perceptual": "lpips-vgg, random trunk",
    }
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({**about, "results": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
