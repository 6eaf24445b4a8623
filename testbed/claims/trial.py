"""One repeat of a claim in one world: labelled scenes, inversion, labelers, generated datasets, nets and their scores.

Everything is drawn from (repeat, purpose): two arms of one repeat see the same labelled scenes, codes and starting
nets, and what several arms need is made once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages, Targets
from core.evaluation.downstream.loss import TargetFormat
from core.evaluation.downstream.training import Trained, train_downstream
from core.evaluation.scoring import DepthScoring, MaskScoring, PointScoring, Scoring, Taught
from core.generators.files import shipped_generators
from core.generators.interface import Codes
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler, latent
from core.generators.stylegan2.network import Network
from core.image_arrays import as_tensor, to_bytes
from core.inversion.config import InversionConfig
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.refine import invert
from core.label_sets.classes import ClassMap
from core.label_sets.flip import mirrored_pairs
from core.label_sets.label_set import LabelItem
from core.labeling.config import LabelerConfig
from core.labeling.labeler import Labeler
from core.labeling.targets import targets_of
from core.labeling.training import train_labeler
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.filtering import candidates_needed, keep_most_certain
from core.sampling.stream import Sample, draw
from core.tasks.keypoints import with_visibility
from core.tasks.task import Task
from testbed.claims.baselines import Baseline, Pretrained, pretrain_on, train_baseline
from testbed.examples import TEST_SEED
from testbed.shipped import codes_of, load_stylegan2
from testbed.worlds import Scenes, World

TRAIN_SEED = 100
"""Labelled scenes of repeat r come from stream TRAIN_SEED + r."""
FEW = 16
"""Labels, where a claim does not say how many."""
DROPPED = 0.1
_FRESH = 1 << 20
"""First of the latents that are drawn for other purposes than the dataset."""

Scores = dict[str, float]


@dataclass(frozen=True)
class Sizes:
    """How much of everything; the same for every arm. ``words``: for the page of results."""

    words: str
    test: int
    generated: int
    inversion_steps: int
    net: DownstreamConfig
    labeler_steps: int | None


SIZES = {
    "full": Sizes("500 test images, 1,800 generated, nets of 600 steps", 500, 1800, 100, DownstreamConfig(), None),
    "short": Sizes(
        "300 test images, 400 generated, nets of 200 steps in bfloat16, labelers of 300", 300, 400, 40,
        DownstreamConfig(steps=200, precision="bfloat16"), 300,
    ),
    "tiny": Sizes("nothing to go by", 8, 12, 2, DownstreamConfig(steps=3, batch=4, width=4), 5),
}  # fmt: skip
"""``full``: as planned, hours. ``short``: minutes a claim and repeat on two cores. ``tiny``: does every line run?"""


class Trial:
    """One repeat."""

    def __init__(self, world: World, repeat: int, sizes: Sizes) -> None:
        self.world, self.repeat, self.sizes = world, repeat, sizes
        self.folder = shipped_generators()[world.generator]
        self.classes = ClassMap(dict(enumerate(world.classes)))
        self._codes: dict[int, Codes] = {}
        self._stream: list[Sample] = []

    @cached_property
    def loaded(self) -> StyleGAN2Generator:
        """The shipped generator with its facts."""
        return load_stylegan2(self.folder)

    @cached_property
    def sampler(self) -> StyleGAN2Sampler:
        """The generator without truncation, where a latent means what the renderer draws."""
        return self.loaded.bind({"truncation_psi": 1.0})

    @property
    def generator(self) -> Network:
        """Its network."""
        return self.loaded.network

    @cached_property
    def test(self) -> Scenes:
        """Held-out scenes, the same for every arm and repeat."""
        return self.world.labelled(TEST_SEED, self.sizes.test, 0)

    def labelled(self, count: int = FEW) -> Scenes:
        """Labelled scenes of this repeat's stream; fewer are the first of more."""
        return self.world.labelled(TRAIN_SEED + self.repeat, count, 0)

    def labels(self, scenes: Scenes, task: Task) -> Targets:
        """The truth: masks, points or depth."""
        if task == "keypoints":
            assert self.world.points is not None
            return self.world.points(scenes)
        return scenes.depth if task == "depth" else scenes.masks

    # -- the method --------------------------------------------------------------------------------------------------

    def codes(self, count: int = FEW) -> Codes:
        """Codes of the first ``count`` labelled scenes, inverted once."""
        if count not in self._codes:
            self._codes[count] = self.inverted(self.labelled(count).images)
        return self._codes[count]

    def inverted(self, images: NDArray[np.uint8], steps: int | None = None) -> Codes:
        """Codes of images."""
        steps = self.sizes.inversion_steps if steps is None else steps
        config = InversionConfig(steps=steps, one_row=self.sampler.one_row)
        found = invert(
            self.sampler, as_tensor(images), encoder=load_encoder(self.folder),
            perceptual=choose_perceptual(self.folder, None), config=config,
        )  # fmt: skip
        return Codes.cat([one.codes for one in found])

    def labeler(self, codes: Codes, scenes: Scenes, task: Task = "segmentation", **settings: Any) -> Labeler:
        """An ensemble trained on codes and the scenes' truth. ``settings``: what is not as LabelerConfig has it."""
        if self.sizes.labeler_steps is not None:
            settings = {"max_steps": self.sizes.labeler_steps, **settings}
        config = LabelerConfig(**settings)
        truth = self.labels(scenes, task)
        items = [_item(i, image, truth[i], task) for i, image in enumerate(scenes.images)]
        class_count = len(self.world.classes) if task == "segmentation" else 0
        targets = targets_of(items, class_count, config)
        return train_labeler(self.sampler, codes, targets, config, run=Run(seed=self.repeat))

    def candidates(self, labeler: Labeler, stop: int | None = None, start: int = 0) -> list[Sample]:
        """Samples ``start`` … ``stop - 1`` of the stream; by default as many as leave the dataset's size when a tenth
        is dropped.
        """
        stop = candidates_needed(self.sizes.generated, DROPPED) if stop is None else stop
        config = SamplingConfig(seed=self.repeat, start=start, stop=stop)
        return list(draw(self.sampler, labeler, config))

    @cached_property
    def usual_labeler(self) -> Labeler:
        """By default settings, of :data:`FEW` labels."""
        return self.labeler(self.codes(), self.labelled())

    def usual_candidates(self, stop: int | None = None) -> list[Sample]:
        """The first samples with labels of the usual labeler, each drawn once."""
        stop = candidates_needed(self.sizes.generated, DROPPED) if stop is None else stop
        if stop > len(self._stream):
            self._stream += self.candidates(self.usual_labeler, stop, len(self._stream))
        return self._stream[:stop]

    @cached_property
    def usual(self) -> Scores:
        """The whole way by default settings."""
        return self.learnt_from(self.usual_candidates())

    def method(self, scenes: Scenes, codes: Codes | None = None, **settings: Any) -> Scores:
        """The whole way: invert (unless ``codes`` are given), train the labeler, generate, drop a tenth, train."""
        codes = self.inverted(scenes.images) if codes is None else codes
        return self.learnt_from(self.candidates(self.labeler(codes, scenes, **settings)))

    def learnt_from(self, samples: Sequence[Sample], keep: int | None = None, task: Task = "segmentation") -> Scores:
        """Keep the most certain of the samples, train the net on them, score it."""
        kept = keep_most_certain([one.score for one in samples], keep or self.sizes.generated)
        chosen = [samples[int(one)] for one in kept]
        labels = np.stack([_label(one, task) for one in chosen])
        return self.score(self.net(np.stack([one.image for one in chosen]), labels, task), task)

    def truth_of(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """What the renderer draws from the samples' latents (at ψ = 1): masks uint8 [N, S, S]."""
        z = [latent(self.repeat, one.index, self.generator.config.z_dim).numpy() for one in samples]
        return self.world.meant(np.stack(z)).masks

    def drawn(self, count: int) -> tuple[NDArray[np.uint8], Codes, Scenes]:
        """Images of fresh latents (at ψ = 1), their codes, and what the renderer draws from the latents."""
        z = torch.stack([latent(self.repeat, _FRESH + i, self.generator.config.z_dim) for i in range(count)])
        images, codes = [], []
        with torch.inference_mode():
            for part in torch.split(z, 50):
                codes.append(self.generator.map(part).contiguous())
                images.append(to_bytes(self.generator.synthesize(codes[-1], noise="none").image))
        pixels = torch.cat(images).permute(0, 2, 3, 1).contiguous().numpy()
        return pixels, codes_of(torch.cat(codes).clone()), self.world.meant(z.numpy())

    # -- nets --------------------------------------------------------------------------------------------------------

    def scoring(self, task: Task) -> Scoring:
        """How nets of this task are taught and judged."""
        if task == "segmentation":
            return MaskScoring(self.classes)
        if task == "keypoints":
            return PointScoring(self.world.keypoints, self.test.images.shape[1:3])
        return DepthScoring(self.labelled().depth)

    def net(self, images: NDArray[np.uint8], labels: Targets, task: Task = "segmentation") -> Trained:
        """The downstream net, trained on these."""
        return self._trained(train_downstream, images, labels, task)

    def baseline(self, name: Baseline, scenes: Scenes, task: Task = "segmentation") -> Trained:
        """A baseline with the same labels."""
        pretrained = None if name == "from_scratch" else self.pretrained

        def train(*arguments: Any, **settings: Any) -> Trained:
            return train_baseline(name, *arguments, pretrained=pretrained, **settings)

        return self._trained(train, scenes.images, self.labels(scenes, task), task)

    def _trained(
        self, train: Callable[..., Trained], images: NDArray[np.uint8], labels: Targets, task: Task
    ) -> Trained:
        scoring = self.scoring(task)
        recipe = replace(self.sizes.net, mirrored=mirrored_pairs(scoring.parts))
        taught = Taught(ArrayImages(images, labels), scoring)
        target = TargetFormat(heat=scoring.heat)
        return train(taught, scoring.channels, recipe, target=target, run=Run(seed=self.repeat))

    @cached_property
    def pretrained(self) -> Pretrained:
        """Where transfer starts: a trunk that has learnt to clean the generator's own pictures, without labels."""
        images = self.drawn(self.sizes.generated)[0]
        unlabelled = ArrayImages(images, np.zeros(images.shape[:3], np.uint8))
        return pretrain_on(unlabelled, self.sizes.net, Run(seed=self.repeat))

    def score(self, net: Trained, task: Task = "segmentation") -> Scores:
        """On the held-out scenes: mIoU and IoU by class in points, PCK in percent, or depth errors."""
        scoring = self.scoring(task)
        truth = self.labels(self.test, task)
        said = scoring.said(net, self.test.images)
        if task != "segmentation":
            scale = 100 if task == "keypoints" else 1
            return {name: scale * value for name, value in scoring.more(truth, said).items()}
        parts = zip(self.world.classes, scoring.scores(truth, said), strict=True)
        iou = {f"iou {name}": 100 * float(one) for name, one in parts if np.isfinite(one)}
        return {"miou": float(np.mean(list(iou.values()))), **iou}


def picked(scenes: Scenes, indices: NDArray[np.int64]) -> Scenes:
    """Some of the scenes."""
    return type(scenes)(**{name: value[indices] for name, value in vars(scenes).items()})


def _item(number: int, image: NDArray[np.uint8], label: Targets, task: Task) -> LabelItem:
    nothing = np.full(image.shape[:2], 255, np.uint8)
    return LabelItem(
        f"{number:04d}", image, label if task == "segmentation" else nothing,
        keypoints=label if task == "keypoints" else None, depth=label if task == "depth" else None,
    )  # fmt: skip


def _label(sample: Sample, task: Task) -> Targets:
    if task == "segmentation":
        return sample.mask
    if task == "depth":
        assert sample.depth is not None
        return sample.depth
    assert sample.keypoints is not None
    return with_visibility(sample.keypoints)[:, :3]
