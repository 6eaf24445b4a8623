"""Training of the feature interpreter: whole images, all heads on one trunk (BigDatasetGAN section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoint_io
from core.errors import GeneratorError, LabelerError, Problem
from core.generators.interface import Codes, FeatureSource
from core.labeling.aggregation import classes as choose
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.interpreter.feature_maps import LabelledMaps
from core.labeling.interpreter.labeler import InterpreterLabeler
from core.labeling.interpreter.network import Interpreter, interpreter_loss, probabilities
from core.run import Run
from core.tasks.segmentation import agreement, confusion_matrix

RUN = "training of an interpreter"
CHECKPOINT_EVERY = 250
"""Steps between two checkpoints."""
ORDER_STREAM, SPLIT_STREAM = 3, 4
"""Separate these random numbers from others of the same seed."""


@dataclass
class _State:
    """All that the next step needs, the data apart."""

    network: Interpreter
    optimizer: torch.optim.Adam
    step: int = 0
    loss_sum: float = 0.0
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    held_out_curve: list[tuple[int, float]] = field(default_factory=list)

    def to_bytes(self, fingerprint: str) -> bytes:
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        adam = checkpoint_io.optimizer_tensors(self.optimizer)
        tensors |= {f"adam.{name}": tensor for name, tensor in adam.items()}
        facts = {
            "step": self.step,
            "loss_sum": self.loss_sum,
            "loss_curve": self.loss_curve,
            "held_out_curve": self.held_out_curve,
        }
        return checkpoint_io.pack(tensors, RUN, fingerprint, facts)

    def restore(self, content: bytes, fingerprint: str, device: torch.device | str) -> None:
        tensors, facts = checkpoint_io.unpack(content, RUN, fingerprint)
        self.network.load_state_dict(checkpoint_io.within(tensors, "network"))
        adam = checkpoint_io.within(tensors, "adam")
        checkpoint_io.restore_optimizer(self.optimizer, {name: tensor.to(device) for name, tensor in adam.items()})
        self.step, self.loss_sum = facts["step"], facts["loss_sum"]
        self.loss_curve = [(step, loss) for step, loss in facts["loss_curve"]]
        self.held_out_curve = [(step, value) for step, value in facts["held_out_curve"]]


def train_interpreter(
    source: FeatureSource,
    codes: Codes,
    masks: Tensor | NDArray[np.uint8],
    class_count: int,
    config: InterpreterConfig | None = None,
    *,
    origins: Sequence[int] | None = None,
    run: Run | None = None,
) -> InterpreterLabeler:
    """Train an interpreter on N labelled images.

    source: what draws the features, on ``run.device``. masks: uint8 [N, H, W] of class ids below ``class_count`` or the
    ignore index; two classes are learnt as foreground against background with one output. origins: number of the
    labelled image of each code, where an image has several; these are held out together.

    run.checkpoint: called every 250 steps unless ``checkpoint_every`` is given; ``resume_from`` continues to the same
    result. run.memory_bytes: bound of the features that are kept; others are drawn again, to the same result.

    Raises :class:`LabelerError` for labels that do not fit, :class:`core.errors.ResumeError` for the state of another
    training, :class:`core.errors.Stopped` when asked.
    """
    run, config = run or Run(), config or InterpreterConfig()
    masks = torch.as_tensor(masks)
    origins = list(range(len(codes)) if origins is None else origins)
    _check(source, codes, masks, class_count, origins, config)
    training, held_out = _split(origins, config, run.seed)
    outputs = 1 if class_count == 2 else class_count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = Interpreter(source.layers, source.condition_dim, outputs, config).to(run.device)
    state = _State(network, torch.optim.Adam(network.parameters(), lr=config.learning_rate))
    facts = [config.to_json(), class_count, origins, run.seed, source.feature_digest]
    mark = checkpoint_io.fingerprint(facts, [*source.tensors(), *codes.tensors(), masks])
    if run.resume_from is not None:
        state.restore(run.resume_from, mark, run.device)
    trainer = _Trainer(LabelledMaps(source, codes.to(run.device), run.memory_bytes), masks, config, run, state)
    every = run.checkpoint_every or CHECKPOINT_EVERY
    while state.step < config.steps:
        run.stop_if_asked()
        run.progress(state.step, config.steps)
        trainer.step(training)
        if state.step % config.measure_every == 0 or state.step == config.steps:
            trainer.measure(held_out, class_count)
        if run.checkpoint is not None and state.step % every == 0 and state.step < config.steps:
            run.checkpoint(state.to_bytes(mark))
    run.progress(config.steps, config.steps)
    network = network.eval().requires_grad_(False)
    report = trainer.report(training, held_out, origins, class_count)
    return InterpreterLabeler(
        network, class_count, source.layers, source.condition_dim, config, source.feature_digest, report
    )


class _Trainer:
    """Steps and measurements on labelled feature maps."""

    def __init__(self, maps: LabelledMaps, masks: Tensor, config: InterpreterConfig, run: Run, state: _State) -> None:
        self.maps, self.masks, self.config, self.run, self.state = maps, masks, config, run, state

    def step(self, training: Sequence[int]) -> None:
        """One step of Adam on the next batch of images."""
        state, config = self.state, self.config
        images = _batch(training, min(config.batch, len(training)), state.step, self.run.seed)
        found = self.maps.of(images)
        logits = state.network.train()(found.features, found.condition)
        truth = self.masks[images].to(logits.device).long()
        if tuple(truth.shape[1:]) != tuple(logits.shape[3:]):
            logits = _sized(logits, (truth.shape[1], truth.shape[2]))
        loss = interpreter_loss(logits, truth, config.ignore_index)
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.optimizer.step()
        state.loss_sum += loss.item() / config.heads
        state.step += 1

    def measure(self, held_out: Sequence[int], class_count: int) -> None:
        """Record a point of the curves. Raises :class:`LabelerError` where the training diverged."""
        state = self.state
        since = state.loss_curve[-1][0] if state.loss_curve else 0
        mean = state.loss_sum / max(1, state.step - since)
        if not np.isfinite(mean):
            raise LabelerError("training diverged", [Problem("a smaller learning_rate may help", "learning_rate")])
        state.loss_curve.append((state.step, mean))
        state.loss_sum = 0.0
        point = {"step": float(state.step), "loss": mean}
        if held_out:
            point["accuracy"] = float(self.scores(held_out, class_count)["accuracy"])
            state.held_out_curve.append((state.step, point["accuracy"]))
        if self.run.log is not None:
            self.run.log(point)

    @torch.no_grad()
    def scores(self, images: Sequence[int], class_count: int) -> dict[str, Any]:
        """Pixel accuracy, mean IoU and IoU by class id (text)."""
        confusion = np.zeros((class_count, class_count + 1), np.int64)
        self.state.network.eval()
        for image in images:
            found = self.maps.of([image])
            truth = self.masks[image]
            logits = _sized(self.state.network(found.features, found.condition), (truth.shape[0], truth.shape[1]))
            chosen = choose(probabilities(logits[:, 0].flatten(2).mT), self.config.aggregation)
            ignored = self.config.ignore_index
            confusion += confusion_matrix(truth.cpu().numpy().ravel(), chosen.cpu().numpy(), class_count, ignored)
        found_scores = agreement(confusion)
        by_class = {str(class_id): value for class_id, value in found_scores.iou.items()}
        return {"accuracy": found_scores.pixel_accuracy, "mean_iou": found_scores.mean_iou, "iou": by_class}

    def report(
        self, training: Sequence[int], held_out: Sequence[int], origins: Sequence[int], class_count: int
    ) -> dict[str, Any]:
        """Return JSON values: what was trained on, and how it went."""
        state = self.state
        used = self.masks[list(training)]
        pixels = torch.bincount(used[used != self.config.ignore_index].flatten().long(), minlength=class_count)
        found = None
        if held_out:
            curve = [list(point) for point in state.held_out_curve]
            found = {"images": [origins[at] for at in held_out], **self.scores(held_out, class_count), "curve": curve}
        return {
            "task": "segmentation",
            "method": "interpreter",
            "pixels": int(pixels.sum()),
            "class_pixels": pixels.tolist(),
            "seed": self.run.seed,
            "steps": state.step,
            "steps_planned": self.config.steps,
            "stopped_early": False,
            "loss_curve": [list(point) for point in state.loss_curve],
            "held_out": found,
            "calibration": None,
        }


def _sized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits [heads, N, outputs, h, w] resized bilinearly to ``size``."""
    if tuple(logits.shape[3:]) == size:
        return logits
    flat = torch.nn.functional.interpolate(
        logits.flatten(0, 1), size, mode="bilinear", align_corners=False, antialias=True
    )
    return flat.view(*logits.shape[:3], *size)


def _batch(training: Sequence[int], size: int, step: int, seed: int) -> list[int]:
    """Return the images of a step: shuffled epoch by epoch, whole batches."""
    steps = max(1, len(training) // size)
    order = np.random.default_rng([seed, ORDER_STREAM, step // steps]).permutation(len(training))
    first = step % steps * size
    return [training[at] for at in order[first : first + size]]


def _split(origins: Sequence[int], config: InterpreterConfig, seed: int) -> tuple[list[int], list[int]]:
    """Return the places of training codes, and one place for each labelled image that is held out."""
    images = sorted(set(origins))
    chosen = np.random.default_rng([seed, SPLIT_STREAM]).permutation(len(images))[: config.held_out]
    kept = {images[at] for at in chosen}
    training = [at for at, origin in enumerate(origins) if origin not in kept]
    return training, sorted(list(origins).index(image) for image in kept)


def _check(
    source: FeatureSource,
    codes: Codes,
    masks: Tensor,
    class_count: int,
    origins: Sequence[int],
    config: InterpreterConfig,
) -> None:
    problems: list[Problem] = []
    try:
        source.check_codes(codes)
    except GeneratorError as error:
        problems += error.problems
    if masks.ndim != 3 or masks.dtype != torch.uint8 or len(masks) != len(codes):
        problems.append(Problem(f"not one uint8 mask [H, W] for each of {len(codes)} codes", "masks"))
    elif any(side > most for side, most in zip(masks.shape[1:], source.resolution, strict=True)):
        problems.append(Problem(f"larger than the generator's {source.resolution}", "masks"))
    else:
        known = set(range(class_count)) | {config.ignore_index}
        wrong = sorted(set(torch.unique(masks).tolist()) - known)
        problems += [Problem(f"the class id {value} is not below {class_count}", "masks") for value in wrong]
        if not bool((masks != config.ignore_index).any()):
            problems.append(Problem("every pixel is ignored", "masks"))
    if not 2 <= class_count <= 256:
        problems.append(Problem("not from 2 to 256", "class_count"))
    if len(origins) != len(codes):
        problems.append(Problem(f"{len(origins)} for {len(codes)} codes", "origins"))
    if config.held_out >= (images := len(set(origins))):
        problems.append(Problem(f"{images} images leave none to train on", "held_out"))
    if problems:
        raise LabelerError("an interpreter cannot be trained on this", problems)
