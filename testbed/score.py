"""What is the method worth here? The main job measured against the renderer's truth.

    python -m testbed.score [--json] [--psi 1.0] [--seed 0] [--exact-labels]

(a) the labeler on held-out heads after inversion
(b) a small net trained on 2,000 generated images, tested on 500 held-out rendered heads
(c) the same net trained on the 50 labelled heads alone, with ordinary augmentation
(d) the same net trained on 5,000 rendered and truly labelled heads: the bound from above
(e) the generated labels against their truth, kept and dropped tenth apart. The latents of generated heads are known at
    ψ = 1, so the truth is what the renderer draws from them. The generator does not always draw quite that, so the net
    of (d), judging the pictures themselves, stands beside it as a proxy.
(f) with --exact-labels: the net of (b) on the same images with this truth for labels; what it lacks to
    (d) lies in the pictures and in their number, what (b) lacks to it in the labels

Every part is kept in out/score/ and not done twice for the same files; delete the folder to restart.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.networks import build_network
from core.evaluation.downstream.training import Trained, predict_masks, train_downstream
from core.evaluation.overlap import image_confusions, pooled_iou, pooled_miou
from core.generators.files import shipped_generators
from core.generators.interface import Codes
from core.generators.stylegan2.generator import StyleGAN2Generator, latent
from core.image_arrays import as_tensor
from core.inversion.config import InversionConfig
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.refine import invert
from core.inversion.report import InvertedImage
from core.label_sets.flip import mirrored
from core.label_sets.reading.reader import read_label_set
from core.labeling.files import load_labeler
from core.labeling.labeler import TrainedLabeler
from core.labeling.training import train_ensemble
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.filtering import candidates_needed, keep_most_certain
from core.sampling.stream import Sample, draw, draw_codes
from testbed.examples import ARCHIVE, EXAMPLE_SEED, TEST_SEED, labelled_heads
from testbed.filtering import class_areas, kept_by_classes
from testbed.latents import normalise
from testbed.shipped import load_shipped
from testbed.world import CLASS_NAMES, head_parameters, render
from testbed.worlds import HEADS, World

CLASSES = len(CLASS_NAMES)
TEST_HEADS = 500
HELD_OUT_HEADS = 100
GENERATED = 2000
DROP_FRACTION = 0.1
FULL_LABELS = 5000
TRUE_STREAM = 80
OUT = Path("out/score")


@dataclass(frozen=True)
class HeldOutScore:
    """The labeler on inverted held-out heads, before and after dropping those it is least certain of."""

    images: int
    miou: float
    miou_kept: float
    drop_fraction: float
    psnr: float
    """Median over the heads, dB."""


def heldout_quick(labeler_folder: Path, images: int = 40, steps: int = 100) -> HeldOutScore:
    """Invert fresh heads of the test stream, label their codes with a trained labeler, and compare with the truth.

    Raises `core.errors.LabelerError` when the folder holds no labeler of heads64.
    """
    loaded = load_shipped("heads64")
    return score_labeler(loaded, load_labeler(labeler_folder).labeler, images, steps)


def score_labeler(loaded: StyleGAN2Generator, labeler: TrainedLabeler, images: int, steps: int) -> HeldOutScore:
    """The labeler on inverted held-out heads."""
    heads = labelled_heads(TEST_SEED, images)
    inverted = inverted_scenes(heads.images, steps, HEADS)
    _, labels = draw_codes(loaded.bind(), labeler, Codes.cat([image.codes for image in inverted]))
    masks = labels.mask.numpy()
    kept = keep_most_certain(labels.scores.numpy(), images - round(DROP_FRACTION * images))
    return HeldOutScore(
        images=images,
        miou=_miou(heads.masks, masks),
        miou_kept=_miou(heads.masks[kept], masks[kept]),
        drop_fraction=DROP_FRACTION,
        psnr=float(np.median([image.report.psnr for image in inverted])),
    )


def inverted_scenes(images: NDArray[np.uint8], steps: int, world: World) -> list[InvertedImage]:
    """Invert uint8 [N, 64, 64, 3] with what ships beside the world's generator and the service's default settings."""
    folder = shipped_generators()[world.generator]
    sampler = load_shipped(world.generator).bind()
    config = InversionConfig(steps=steps, one_row=sampler.one_row)
    return invert(
        sampler, as_tensor(images), encoder=load_encoder(folder),
        perceptual=choose_perceptual(folder, None), config=config,
    )  # fmt: skip


def trained_net(
    name: str,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    recipe: DownstreamConfig,
    seed: int,
    classes: int = CLASSES,
) -> Trained:
    """The net of an arm, trained once for the same images, recipe and seed and kept in out/score."""
    content = hashlib.sha256(images.tobytes() + masks.tobytes() + repr((recipe, seed)).encode())
    path = OUT / f"{name}-{content.hexdigest()[:16]}.pt"
    if path.exists():
        net = build_network(recipe, classes)
        net.load_state_dict(torch.load(path, weights_only=True))
        return Trained(net.eval(), classes, chosen_step=recipe.steps)
    _say(f"training the net of arm {name} on {len(images)} images")
    trained = train_downstream(ArrayImages(images, masks), classes, recipe, run=Run(seed=seed))
    OUT.mkdir(parents=True, exist_ok=True)
    torch.save(trained.network.state_dict(), path)
    return trained


def judge(recipe: DownstreamConfig | None = None, seed: int = 0, world: World = HEADS) -> Trained:
    """The net of arm (d), trained on 5,000 true labels of the world."""
    full = world.labelled(TRUE_STREAM, FULL_LABELS, 0)
    return trained_net("d", full.images, full.masks, recipe or DownstreamConfig(), seed, len(world.classes))


# -- the parts of the score --------------------------------------------------------------------------------------------


class Scoring:
    """The arms, each computed once and kept as JSON."""

    def __init__(
        self, psi: float, seed: int, recipe: DownstreamConfig, inversion_steps: int, exact_labels: bool
    ) -> None:
        self.psi, self.seed, self.recipe, self.inversion_steps = psi, seed, recipe, inversion_steps
        self.exact_labels = exact_labels
        self.test = labelled_heads(TEST_SEED, TEST_HEADS)
        self.loaded = load_shipped("heads64")

    def run(self) -> dict[str, Any]:
        """All arms, in the order in which they can be had soonest."""
        labeler, candidates = self._generate()
        result: dict[str, Any] = {
            "generator": self.loaded.info.digest,
            "psi": self.psi,
            "seed": self.seed,
            "recipe": asdict(self.recipe),
            "inversion_steps": self.inversion_steps,
        }
        result["a_labeler_on_held_out"] = asdict(
            score_labeler(self.loaded, labeler, HELD_OUT_HEADS, self.inversion_steps)
        )
        kept = _kept(candidates)
        images = np.stack([sample.image for sample in candidates])
        masks = np.stack([sample.mask for sample in candidates])
        examples = labelled_heads(EXAMPLE_SEED, 50)
        net = trained_net("c", examples.images, examples.masks, self.recipe, self.seed)
        result["c_net_on_50_labels"] = self._tested(net) | {"images": len(examples.images)}
        net = trained_net("b", images[kept], masks[kept], self.recipe, self.seed)
        result["b_net_on_generated"] = self._tested(net) | {"images": len(kept)}
        net = judge(self.recipe, self.seed)
        result["d_net_on_5000_labels"] = self._tested(net) | {"images": FULL_LABELS}
        exact = self._exact(candidates) if self.psi == 1.0 else None
        references = {"proxy": predict_masks(net, images)} | ({} if exact is None else {"exact": exact})
        result["e_generated_labels"] = _agreement(references, masks, kept)
        if self.exact_labels and exact is not None:
            net = trained_net("f", images[kept], exact[kept], self.recipe, self.seed)
            result["f_net_on_exact_labels"] = self._tested(net) | {"images": len(kept)}
        return result

    def _generate(self) -> tuple[TrainedLabeler, list[Sample]]:
        """The main job in short: invert the 50 and their mirror images, train the labeler, draw the candidates."""
        with tempfile.TemporaryDirectory() as folder:
            labels = read_label_set(ARCHIVE, Path(folder))
            items = [*labels.items, *mirrored(labels).items]
            images, masks = np.stack([item.image for item in items]), np.stack([item.mask for item in items])
        _say("inverting the 50 labelled heads and their mirror images")
        codes = Codes.cat([image.codes for image in inverted_scenes(images, self.inversion_steps, HEADS)])
        _say("training the labeler")
        sampler = self.loaded.bind({"truncation_psi": self.psi})
        labeler = train_ensemble(sampler, codes, masks, CLASSES, run=Run(seed=self.seed))
        stop = candidates_needed(GENERATED, DROP_FRACTION)
        _say(f"drawing {stop} candidates")
        config = SamplingConfig(seed=self.seed, start=0, stop=stop)
        return labeler, list(draw(sampler, labeler, config))

    def _tested(self, net: Trained) -> dict[str, Any]:
        return _iou(self.test.masks, predict_masks(net, self.test.images))

    def _exact(self, candidates: list[Sample]) -> NDArray[np.uint8]:
        """What the renderer draws from the latents of generated heads."""
        size = self.loaded.network.config.z_dim
        z = np.stack([latent(self.seed, sample.index, size).numpy() for sample in candidates])
        return render(head_parameters(normalise(z))).masks


def _kept(candidates: list[Sample]) -> NDArray[np.int64]:
    """Places of those that the service would deliver, by its defaults."""
    masks = np.stack([sample.mask for sample in candidates])
    scores = np.array([sample.score for sample in candidates], np.float64)
    return kept_by_classes(scores, class_areas(masks, CLASSES), GENERATED)


def _agreement(
    references: dict[str, NDArray[np.uint8]], masks: NDArray[np.uint8], kept: NDArray[np.int64]
) -> dict[str, Any]:
    """Of generated labels with each reference, kept and dropped ones apart."""
    dropped = np.setdiff1d(np.arange(len(masks)), kept)
    return {
        f"{name}_{part}": _iou(truth[chosen], masks[chosen])
        for name, truth in references.items()
        for part, chosen in (("kept", kept), ("dropped", dropped))
    }


def _iou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> dict[str, Any]:
    values = pooled_iou(image_confusions(truth, predicted, CLASSES))
    per_class = {name: None if np.isnan(v) else round(float(v), 4) for name, v in zip(CLASS_NAMES, values, strict=True)}
    return {"miou": round(_miou(truth, predicted), 4), "iou": per_class}


def _miou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> float:
    return pooled_miou(image_confusions(truth, predicted, CLASSES))


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the score as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--psi", type=float, default=1.0, help="truncation of the generated images (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, default=DownstreamConfig.steps, help="training steps of the net, in every arm"
    )
    parser.add_argument(
        "--inversion-steps", type=int, default=InversionConfig.steps, help="by default as many as the service takes"
    )
    parser.add_argument("--exact-labels", action="store_true", help="train the net of (f), too")
    arguments = parser.parse_args()
    if arguments.exact_labels and arguments.psi != 1.0:
        parser.error("--exact-labels: latents give the truth of a generated head at --psi 1 alone")
    recipe = DownstreamConfig(steps=arguments.steps)
    scoring = Scoring(arguments.psi, arguments.seed, recipe, arguments.inversion_steps, arguments.exact_labels)
    result = scoring.run()
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        if name[1:2] == "_" and name[0] in "bcdf":
            print(f"{name:24} mIoU {value['miou']:.3f}")
    a, e = result["a_labeler_on_held_out"], result["e_generated_labels"]
    print(f"{'a_labeler_on_held_out':24} mIoU {a['miou']:.3f}, kept {a['miou_kept']:.3f}, PSNR {a['psnr']:.1f} dB")
    for name, value in e.items():
        print(f"{'e_' + name:24} mIoU {value['miou']:.3f}")


if __name__ == "__main__":
    main()
