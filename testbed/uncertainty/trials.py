"""The cells of the trials: what is measured in each repeat, kept as JSON."""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.overlap import image_confusions, image_miou, pooled_iou, pooled_miou
from core.generators.files import shipped_generators
from core.generators.interface import Codes
from core.generators.stylegan2.generator import latent
from core.image_arrays import as_tensor
from core.inversion.config import InversionConfig
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.refine import invert
from core.labeling.config import LabelerConfig
from core.labeling.labeler import Labeler
from core.sampling.filtering import keep_most_certain
from testbed.claims.trial import TRAIN_SEED
from testbed.examples import TEST_SEED
from testbed.filtering import class_areas, kept_by_classes
from testbed.shipped import load_shipped
from testbed.uncertainty.ensembles import ARMS, trained_arms
from testbed.uncertainty.measures import (
    BATCH,
    Labelled,
    found_by,
    labels_of,
    nearest_distances,
    rank_correlation,
    ranking,
    scores_of,
    without_boundaries,
)
from testbed.worlds import Scenes, World

OUT = Path("out/uncertainty")
FORMAT = 1


@dataclass(frozen=True)
class Sizes:
    """Amounts of everything, the same for every arm."""

    labels: int
    inversion_steps: int
    members: int
    labeler_steps: int
    candidates: int
    held_out: int
    """Inverted scenes that no labeler has seen."""
    reference_pixels: int = 4096
    """Labelled pixels that a candidate's pixels are compared with."""
    training_pixels: int = 1 << 20
    """Labelled pixels that members learn from, at most."""
    hidden: tuple[int, int] = (256, 32)
    components: int = 256


SIZES = {
    "full": Sizes(50, 150, 10, 1500, 2000, 300, 16384),
    "small": Sizes(50, 0, 4, 250, 250, 60, training_pixels=40_000, hidden=(128, 32), components=64),
    "tiny": Sizes(4, 1, 2, 3, 12, 4, 64, 4096, (16, 8), 8),
}


class Trials:
    """The cells of a world: (repeat, part), each measured once."""

    def __init__(self, world: World, sizes: Sizes, out: Path = OUT) -> None:
        self.world, self.sizes, self.out = world, sizes, out
        self.folder = shipped_generators()[world.generator]
        self.loaded = load_shipped(world.generator)
        self.sampler = self.loaded.bind({"truncation_psi": 1.0})
        self.classes = len(world.classes)
        self._trained: dict[int, dict[str, Labeler]] = {}

    def run(self, repeats: int) -> list[dict[str, Any]]:
        """All cells, done or found."""
        parts = {"candidates": self._candidates, "inverted": self._inverted}
        return [self._cell(repeat, part, measure) for repeat in range(repeats) for part, measure in parts.items()]

    def _cell(self, repeat: int, part: str, measure: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        facts = {
            "format": FORMAT, "world": self.world.name, "generator": self.loaded.info.digest, "repeat": repeat,
            "part": part, "sizes": asdict(self.sizes), "arms": list(ARMS),
        }  # fmt: skip
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
        path = self.out / f"{key}.json"
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
        begun = time.monotonic()
        cell = facts | measure(repeat) | {"seconds": round(time.monotonic() - begun, 1)}
        _say(f"{self.world.name}, repeat {repeat}: {part} in {cell['seconds']:.0f} s")
        self.out.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return cell

    def _labelled(self, repeat: int) -> tuple[Codes, Scenes]:
        """Labelled scenes of a repeat and their codes; the codes are kept in a file."""
        scenes = self.world.labelled(TRAIN_SEED + repeat, self.sizes.labels, 0)
        return self._codes(scenes.images, f"labelled-{repeat}"), scenes

    def _codes(self, images: NDArray[np.uint8], name: str) -> Codes:
        content = hashlib.sha256(images.tobytes() + f"{self.loaded.info.digest} {self.sizes.inversion_steps}".encode())
        path = self.out / f"{self.world.name}-{name}-{content.hexdigest()[:16]}.pt"
        if path.is_file():
            return Codes(torch.load(path, weights_only=True))
        config = InversionConfig(steps=self.sizes.inversion_steps, one_row=self.sampler.one_row)
        found = invert(
            self.sampler, as_tensor(images), encoder=load_encoder(self.folder),
            perceptual=choose_perceptual(self.folder, None), config=config,
        )  # fmt: skip
        codes = Codes.cat([one.codes for one in found])
        self.out.mkdir(parents=True, exist_ok=True)
        torch.save(dict(codes.parts), path)
        return codes

    def _labelers(self, repeat: int) -> dict[str, Labeler]:
        """The labelers of a repeat by arm, trained once."""
        if repeat not in self._trained:
            sizes = self.sizes
            config = LabelerConfig(
                members=sizes.members, max_steps=sizes.labeler_steps, hidden=sizes.hidden, components=sizes.components
            )
            codes, scenes = self._labelled(repeat)
            self._trained = {
                repeat: trained_arms(
                    self.sampler, codes, scenes.masks, self.classes, config, repeat, sizes.training_pixels
                )
            }
        return self._trained[repeat]

    def _candidates(self, repeat: int) -> dict[str, Any]:
        """Every arm's scores over drawn images, whose truth the latents give."""
        sizes, indices = self.sizes, range(self.sizes.candidates)
        labelers = list(self._labelers(repeat).values())
        drawn = self.sampler.draw(repeat, indices)
        z = np.stack([latent(repeat, index, self.loaded.network.config.z_dim).numpy() for index in indices])
        truth = self.world.meant(z).masks
        found = labels_of(self.sampler, drawn, labelers)
        arms = {arm: self._arm(labels, truth) for arm, labels in zip(ARMS, found, strict=True)}
        distances = nearest_distances(self.sampler, self._labelled(repeat)[0], drawn, sizes.reference_pixels, repeat)
        flat = np.sort(distances.reshape(len(distances), -1), axis=1)
        nearest = {
            "nearest pixel, mean": flat.mean(1, dtype=np.float64),
            "nearest pixel, top 10 %": flat[:, -max(1, flat.shape[1] // 10) :].mean(1, dtype=np.float64),
        }
        quality = self._quality(found[0].masks, truth)
        arms["plain"]["scores"] |= {name: ranking(score, *quality) for name, score in nearest.items()}
        return {"scores": arms, "protection": self._protection(found[0], truth)}

    def _quality(
        self, masks: NDArray[np.uint8], truth: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Image mIoU and pixel accuracy."""
        return image_miou(image_confusions(truth, masks, self.classes)), (masks == truth).mean((1, 2))

    def _arm(self, labels: Labelled, truth: NDArray[np.uint8]) -> dict[str, Any]:
        confusions = image_confusions(truth, labels.masks, self.classes)
        quality = self._quality(labels.masks, truth)
        scores = scores_of(labels, self.classes)
        kept = {
            name: pooled_miou(confusions[keep_most_certain(score, round(0.9 * len(score)))])
            for name, score in scores.items()
        }
        return {
            "miou": pooled_miou(confusions),
            "scores": {name: {**ranking(score, *quality), "miou kept": kept[name]} for name, score in scores.items()},
        }

    def _protection(self, labels: Labelled, truth: NDArray[np.uint8]) -> dict[str, dict[str, dict[str, float | None]]]:
        """Effect of the filter by ``class_mean`` on the rare class: without quotas, with quotas of predicted and of
        true areas: mIoU of the kept labels, IoU of the rare class, and which share of the images that truly show it is
        kept.
        """
        rare = self.world.classes.index(self.world.rare)
        score = scores_of(labels, self.classes)["class_mean"]
        confusions = image_confusions(truth, labels.masks, self.classes)
        areas = {
            name: class_areas(masks, self.classes) for name, masks in (("predicted", labels.masks), ("true", truth))
        }
        shown = areas["true"][:, rare] >= 0.001
        result: dict[str, dict[str, dict[str, float | None]]] = {}
        for drop in (0.1, 0.3, 0.5):
            count = round((1 - drop) * len(score))
            for quotas in ("none", "predicted", "true"):
                if quotas == "none":
                    kept = keep_most_certain(score, count)
                else:
                    kept = kept_by_classes(score, areas[quotas], count)
                iou = pooled_iou(confusions[kept])[rare]
                result.setdefault(f"{drop:.0%} dropped", {})[quotas] = {
                    "miou": pooled_miou(confusions[kept]),
                    "rare iou": None if np.isnan(iou) else float(iou),
                    "rare kept": float(shown[kept].sum() / max(1, shown.sum())),
                }
        return result

    def _inverted(self, repeat: int) -> dict[str, Any]:
        """Scores of a plain labeler over inverted scenes that it has not seen, beside drawn ones in equal number."""
        sizes = self.sizes
        labeler = self._labelers(repeat)["plain"]
        unseen = self.world.labelled(TEST_SEED, sizes.held_out, sizes.held_out * repeat)
        inverted = self._codes(unseen.images, f"unseen-{repeat}")
        (labels,) = labels_of(self.sampler, inverted, [labeler])
        with torch.inference_mode():
            drawings = [self.sampler.synthesize(some).image for some in inverted.split(BATCH)]
        redrawn = torch.cat(drawings).permute(0, 2, 3, 1).numpy()
        error = np.square((redrawn.clip(-1, 1) + 1) / 2 - unseen.images / 255).mean((1, 2, 3))
        miou, accuracy = self._quality(labels.masks, unseen.masks)
        inner = image_miou(image_confusions(without_boundaries(unseen.masks), labels.masks, self.classes))
        scores = scores_of(labels, self.classes)
        indices = range(1 << 20, (1 << 20) + sizes.held_out)
        (drawn,) = labels_of(self.sampler, self.sampler.draw(repeat, indices), [labeler])
        z = np.stack([latent(repeat, index, self.loaded.network.config.z_dim).numpy() for index in indices])
        drawn_quality = self._quality(drawn.masks, self.world.meant(z).masks)
        drawn_scores = scores_of(drawn, self.classes)
        return {
            "psnr": float(np.median(-10 * np.log10(np.maximum(error, 1e-12)))),
            "miou": {"inverted": float(miou.mean()), "drawn": float(drawn_quality[0].mean())},
            "scores": {
                name: {
                    "inverted, image mIoU": found_by(score, miou),
                    "inverted, pixel accuracy": found_by(score, accuracy),
                    "inverted, without boundaries": found_by(score, inner),
                    "inverted, first 48": found_by(score[:48], miou[:48]),
                    "drawn, image mIoU": found_by(drawn_scores[name], drawn_quality[0]),
                    "rank correlation with inversion error": rank_correlation(score, error),
                }
                for name, score in scores.items()
            },
            "inversion error": {
                "inverted, image mIoU": found_by(error, miou),
                "inverted, pixel accuracy": found_by(error, accuracy),
                "rank correlation with image mIoU": rank_correlation(error, miou),
            },
        }


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
