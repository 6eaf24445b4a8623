"""Drawing tokens of a VQGAN: with cached keys and values against a forward pass of the whole sequence for each token.

    python -m benchmarks.token_drawing --json FILE [--layers 12] [--width 512] [--tokens 256] [--batch 4] [--rounds 3]

Both ways use the same network with random weights, the same classes and the same random numbers. Rounds alternate
between the two; the medians are compared. The share of equal tokens is printed: rounding can change a token.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.generators.vqgan.config import TransformerConfig
from core.generators.vqgan.generator import drawn_tokens
from core.generators.vqgan.transformer import Transformer, chosen, filtered

SETTINGS = {"temperature": 1.0, "top_k": 200, "top_p": 0.92}
CODES, HEADS = 1024, 8


def plain_tokens(transformer: Transformer, classes: Tensor, numbers: Tensor) -> Tensor:
    """Draw tokens int64 [N, T] by a forward pass over all earlier positions for each token."""
    sequence = classes[:, None]
    for position in range(numbers.shape[1]):
        logits = transformer(sequence)[:, -1]
        chance = filtered(logits, SETTINGS["temperature"], int(SETTINGS["top_k"]), SETTINGS["top_p"])
        sequence = torch.cat([sequence, chosen(chance, numbers[:, position])[:, None]], 1)
    return sequence[:, 1:]


@torch.no_grad()
def timed(draw: Callable[[], Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Return the tokens, and wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    tokens = draw()
    return tokens, {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}


def main() -> None:
    """Measure, print one line for each way, and write the figures with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("layers", 12), ("width", 512), ("tokens", 256), ("batch", 4), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    config = TransformerConfig(given.layers, given.width, HEADS, given.tokens)
    transformer = Transformer(config, CODES).eval().requires_grad_(False)
    classes, numbers = torch.arange(given.batch), torch.rand(given.batch, given.tokens, dtype=torch.float64)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain_tokens(transformer, classes, numbers),
        "cached": lambda: drawn_tokens(transformer, classes, numbers, SETTINGS),
    }
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    tokens: dict[str, Tensor] = {}
    for _ in range(given.rounds):
        for way, draw in ways.items():
            tokens[way], figures = timed(draw)
            rounds[way].append(figures)
    medians: dict[str, dict[str, float]] = {
        way: {name: statistics.median(one[name] for one in found) for name in found[0]} for way, found in rounds.items()
    }
    plain, cached = medians["plain"], medians["cached"]
    summary: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "speedup": plain["seconds"] / cached["seconds"],
        "processor_speedup": plain["processor_seconds"] / cached["processor_seconds"],
        "equal_tokens": float((tokens["plain"] == tokens["cached"]).double().mean()),
        **medians,
    }
    print(f"{given.layers} layers x {given.width}, {given.tokens} tokens, batch {given.batch} ({summary['machine']})")
    for way, figures in medians.items():
        print(f"{way:6} {figures['seconds']:8.2f} s  {figures['processor_seconds']:8.2f} s of processor")
    print(
        f"x{summary['speedup']:.1f}, x{summary['processor_speedup']:.1f} processor; {summary['equal_tokens']:.1%} equal"
    )
    if given.json:
        given.json.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
