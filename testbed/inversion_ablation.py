"""Where should inversion begin, and how far should it go? Judged by how well labels transfer, not by likeness alone.

    python -m testbed.inversion_ablation --json out/inversion_ablation.json [--repeats 3] [--extra] [--exact]
    python -m testbed.inversion_ablation --arm "encoder, 100 steps" --labeler '{"max_steps": 600}'

Each arm inverts the same labelled heads, trains the same labeler on the codes, and measures

- the reconstruction of the labelled heads and of held-out ones (PSNR in dB, perceptual distance; medians),
- the labeler's mIoU on the codes of the held-out heads, whose masks are known,
- its mIoU on codes that the generator draws by itself, which is what a delivered dataset is made of: against a net that
  was trained on 5,000 true labels and looks at the pictures; with --exact instead against what the renderer draws from
  the same latents, for a generator whose latents are the world's. There, one more arm begins (and ends) at the code
  that the generator's teacher gives to the labelled head's latents: what a perfect inversion would be worth.

Arms: from the encoder and from the mean code, at 0, 50, 100 and 300 steps (the encoder at 0 steps is the encoder
alone). --extra: at 100 steps from the encoder also the coordinates of w, a ball of the paper's radius, a soft penalty,
no constraint, and W+. The heads are of the validation stream: defaults are chosen by this table. A repeat has labelled
heads of its own.

Every cell is kept in out/inversion_ablation/ and not done twice for the same files, settings and sizes.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import LabelerError
from core.evaluation.downstream.training import predict_masks
from core.evaluation.overlap import image_confusions, pooled_miou
from core.generators.files import shipped_generators
from core.generators.interface import Codes
from core.generators.stylegan2.generator import latent
from core.image_arrays import as_tensor, to_float
from core.inversion.config import InversionConfig
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.refine import invert
from core.labeling.config import LabelerConfig
from core.labeling.labeler import Labeler
from core.labeling.training import train_ensemble
from core.run import Run
from core.sampling.stream import draw_codes
from testbed.examples import EXAMPLE_SEED, VALIDATION_SEED
from testbed.latents import normalise
from testbed.recipes.heads64 import RECIPE
from testbed.recipes.training import Training
from testbed.score import judge
from testbed.shipped import codes_of, load_stylegan2
from testbed.world import CLASS_NAMES, draw_latents, head_parameters, render
from testbed.world.parameters import LATENT_COUNT

CLASSES = len(CLASS_NAMES)
OUT = Path("out/inversion_ablation")
STEPS = (0, 50, 100, 300)
_BATCH = 25

Judge = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Images uint8 [N, 64, 64, 3] → masks uint8 [N, 64, 64]."""


@dataclass(frozen=True)
class Arm:
    """One way to invert. ``settings``: fields of the inversion's settings that differ from their defaults."""

    start: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In a few words."""
        return ", ".join([self.start, f"{self.steps} steps", *(f"{k} {v}" for k, v in self.settings.items())])


MAIN = tuple(Arm(start, steps) for start in ("encoder", "mean") for steps in STEPS)
EXTRA = tuple(
    Arm("encoder", 100, settings)
    for settings in (
        {"coordinates": "w"},
        {"radius": 0.5},
        {"constraint": "penalty"},
        {"constraint": "none"},
        {"one_row": False},
    )
)


TEACHER = Arm("teacher", 0)
"""The code that no user has; needs the world's latents."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything; ``exact``: the generator's latents are the world's."""

    labels: int = 50
    held_out: int = 100
    generated: int = 200
    exact: bool = False


class Ablation:
    """Arms on one shipped generator. ``judge``: looks at generated pictures; None leaves that column out."""

    def __init__(
        self, sizes: Sizes, judge: Judge | None, out: Path = OUT, labeler: LabelerConfig | None = None
    ) -> None:
        self.sizes, self.judge, self.out, self.labeler_config = sizes, judge, out, labeler
        folder = shipped_generators()["heads64"]
        self.loaded = load_stylegan2(folder)
        self.sampler = self.loaded.bind({"truncation_psi": 1.0})
        if sizes.exact and self.loaded.network.config.z_dim != LATENT_COUNT:
            raise SystemExit("the generator's latents are not the world's: leave --exact away")
        self.encoder, self.perceptual = load_encoder(folder), choose_perceptual(folder, None)
        self.files = {
            "generator": self.loaded.info.digest,
            **{name: _digest(folder / f"{name}.safetensors") for name in ("encoder", "perceptual")},
            "perceptual_name": self.perceptual.name,
        }

    def run(self, arms: Sequence[Arm], repeats: int) -> list[dict[str, Any]]:
        """Every cell, done or found: {"arm", "start", "steps", "settings", "repeat", and what was measured}."""
        return [self._cell(arm, repeat) for repeat in range(repeats) for arm in arms]

    def _cell(self, arm: Arm, repeat: int) -> dict[str, Any]:
        facts = {
            "format": 2,
            "arm": arm.name,
            "start": arm.start,
            "steps": arm.steps,
            "settings": arm.settings,
            "repeat": repeat,
            "files": self.files,
            "sizes": asdict(self.sizes),
            "judged": self.judge is not None,
            "labeler": self.labeler_config.to_json() if self.labeler_config else None,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
        path = self.out / f"{key}.json"
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
        _say(f"{arm.name}, repeat {repeat}")
        cell = facts | self._measure(arm, repeat)
        self.out.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return cell

    def _measure(self, arm: Arm, repeat: int) -> dict[str, Any]:
        sizes = self.sizes
        latents = draw_latents(EXAMPLE_SEED, repeat * sizes.labels, sizes.labels)
        latents_held_out = draw_latents(VALIDATION_SEED, 0, sizes.held_out)
        labelled, held_out = (render(head_parameters(one)) for one in (latents, latents_held_out))
        begun = time.perf_counter()
        inverted = self._invert(arm, labelled.images, latents)
        seconds = time.perf_counter() - begun
        inverted_held_out = self._invert(arm, held_out.images, latents_held_out)
        labeler = train_ensemble(
            self.sampler, inverted, labelled.masks, CLASSES, self.labeler_config, run=Run(seed=repeat)
        )
        drawn, own = self._labelled(labeler, inverted)
        drawn_held_out, predicted = self._labelled(labeler, inverted_held_out)
        cell = {
            "seconds_an_image": round(seconds / sizes.labels, 4),
            **self._reconstruction("labels", labelled.images, drawn),
            **self._reconstruction("held_out", held_out.images, drawn_held_out),
            "miou_labels": _miou(labelled.masks, own),
            "miou_held_out": _miou(held_out.masks, predicted),
        }
        config = self.loaded.network.config
        z = torch.stack([latent(VALIDATION_SEED, index, config.z_dim) for index in range(sizes.generated)])
        with torch.inference_mode():
            codes = codes_of(self.loaded.network.map(z))
        images, masks = self._labelled(labeler, codes)
        if self.judge is not None:
            cell["miou_generated"] = _miou(self.judge(images), masks)
        if sizes.exact:
            cell["miou_generated_exact"] = _miou(render(head_parameters(normalise(z.numpy()))).masks, masks)
        return cell

    def _invert(self, arm: Arm, images: NDArray[np.uint8], latents: NDArray[np.float32]) -> Codes:
        """Codes of images; only the teacher looks at the latents."""
        if arm == TEACHER:
            teacher = Training(RECIPE).load()
            return codes_of(teacher.repeat(teacher.answers(latents)).contiguous())
        config = InversionConfig(steps=arm.steps, **{"one_row": self.sampler.one_row} | arm.settings)
        encoder = self.encoder if arm.start == "encoder" else None
        if arm.start == "encoder" and encoder is None:
            raise SystemExit("the shipped generator has no encoder: run python -m testbed.recipes.encoder first")
        inverted = invert(self.sampler, as_tensor(images), encoder=encoder, perceptual=self.perceptual, config=config)
        return Codes.cat([image.codes for image in inverted])

    @torch.inference_mode()
    def _reconstruction(self, of: str, images: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> dict[str, float]:
        wanted, found = to_float(as_tensor(images)), to_float(as_tensor(drawn))
        error = (wanted - found).square().mean((1, 2, 3)) / 4
        distance = self.perceptual.compare(self.perceptual.features(found), self.perceptual.features(wanted))
        return {
            f"psnr_{of}": round(float((-10 * error.log10()).median()), 3),
            f"perceptual_{of}": round(float(distance.median()), 5),
        }

    def _labelled(self, labeler: Labeler, codes: Codes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        images, masks = [], []
        for part in codes.split(_BATCH):
            drawn, labels = draw_codes(self.sampler, labeler, part)
            images.append(drawn.numpy())
            masks.append(labels.mask.numpy())
        return np.concatenate(images), np.concatenate(masks)


def table(cells: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: a line an arm, means over repeats with their standard deviation where there are several."""
    columns = [name for name in _COLUMNS if any(name in cell for cell in cells)]
    lines = [
        "| " + " | ".join(["start, steps", *(_COLUMNS[name] for name in columns)]) + " |",
        "|" + "---|" * (len(columns) + 1),
    ]
    for arm in dict.fromkeys(cell["arm"] for cell in cells):
        rows = [cell for cell in cells if cell["arm"] == arm]
        values = [_summed([row[name] for row in rows if name in row]) for name in columns]
        lines.append("| " + " | ".join([arm, *values]) + " |")
    return "\n".join(lines)


_COLUMNS = {
    "psnr_labels": "PSNR of labelled, dB",
    "perceptual_labels": "perceptual",
    "psnr_held_out": "PSNR of held-out, dB",
    "perceptual_held_out": "perceptual",
    "miou_labels": "mIoU on its labels",
    "miou_held_out": "mIoU on held-out",
    "miou_generated": "mIoU on generated (net)",
    "miou_generated_exact": "mIoU on generated (exact)",
    "seconds_an_image": "s an image",
}


def _summed(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}" if values else ""


def _miou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> float:
    return round(pooled_miou(image_confusions(truth, predicted, CLASSES)), 4)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def _net() -> Judge:
    _say("the net that judges generated pictures")
    net = judge()
    return lambda images: predict_masks(net, images)


def _labeler(text: str) -> LabelerConfig:
    try:
        return LabelerConfig.from_json(json.loads(text))
    except (ValueError, LabelerError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(arguments: list[str] | None = None) -> None:
    """Print the table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write all cells to")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--extra", action="store_true", help="other coordinates, constraints and spaces too")
    named = {arm.name: arm for arm in (*MAIN, *EXTRA, TEACHER)}
    parser.add_argument(
        "--arm", action="append", choices=named, metavar="NAME", help="only this one, as the table names it; repeatable"
    )
    parser.add_argument("--labeler", type=_labeler, metavar="JSON", help="the labeler's settings, where not default")
    parser.add_argument("--exact", action="store_true", help="the generator's latents are the world's")
    parser.add_argument("--labels", type=int, default=Sizes.labels)
    parser.add_argument("--held-out", type=int, default=Sizes.held_out)
    parser.add_argument("--generated", type=int, default=Sizes.generated)
    chosen = parser.parse_args(arguments)
    sizes = Sizes(chosen.labels, chosen.held_out, chosen.generated, chosen.exact)
    ablation = Ablation(sizes, None if chosen.exact else _net(), labeler=chosen.labeler)
    arms = [*MAIN, *(EXTRA if chosen.extra else ()), *((TEACHER,) if chosen.exact else ())]
    if chosen.arm:
        arms = [named[name] for name in chosen.arm]
    cells = ablation.run(arms, chosen.repeats)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    print(table(cells))


if __name__ == "__main__":
    main()
