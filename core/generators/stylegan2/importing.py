"""Checkpoints of StyleGAN2 projects → a generator; and what can be checked about one that was just read."""

import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.checkpoints.content import CheckpointContent
from core.checkpoints.state_dicts import StateDict, choose, state_dicts
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.interface import GeneratorInfo, ReadGenerator
from core.generators.stylegan2.checkpoints import nvidia, tensorflow
from core.generators.stylegan2.checkpoints.found import Found
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind, unread_kind
from core.generators.stylegan2.checkpoints.state_dicts import LATENT_AVG, MARKS, read_chosen, read_state_dicts
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.run import Run

_CODES = 10_000
_BATCH = 2_000
#: Numbers of one layer's input at once: 65,536 classes are mapped 64 at a time.
_BATCH_NUMBERS = 1 << 22
#: Distance at which the stored mean code is called strange: a tenth of how far codes lie from one another.
_FAR = 0.1


def read_checkpoint(content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
    """Read a checkpoint of NVIDIA (PyTorch, TensorFlow), rosinality, ReStyle, pSp or e4e; None for another kind.

    Raises :class:`CheckpointError` for such a file that cannot be used, or leaves a question open.
    """
    found = _of_tensors(content, answers) if content.tensors is not None else _of_value(content, answers)
    if found is None:
        return None
    _check_answers(found, answers)
    with torch.device("meta"):
        network = Network(found.config)
    network.load_state_dict(found.state, assign=True)
    options = {"noise": "const" if found.noisy else "none"}
    info = GeneratorInfo("", classes=tuple(found.classes), options=options)
    generator = StyleGAN2Generator(network.eval().requires_grad_(False), info)
    return ReadGenerator(
        generator, found.format, found.network, not found.has_w_avg, facts=found.facts, notes=found.notes
    )


def _of_value(content: CheckpointContent, answers: Answers) -> Found | None:
    value, limits = content.value, content.limits
    if tensorflow.looks_like_tensorflow(value):
        return tensorflow.read_tensorflow(value, answers, limits)
    if nvidia.looks_like_nvidia(value):
        return nvidia.read_nvidia(value, answers, limits)
    return read_state_dicts(value, answers, limits)


def _of_tensors(content: CheckpointContent, answers: Answers) -> Found | None:
    state = dict(content.tensors or {})
    kind = related_kind(state)
    found = [] if kind else state_dicts(state, MARKS)
    if found:
        chosen = choose(found, answers.network)
        average = {LATENT_AVG: state[LATENT_AVG]} if LATENT_AVG in state else {}
        return read_chosen(StateDict(chosen.name, chosen.layout, average | chosen.tensors), answers)
    kind = kind or unread_kind(state)
    if kind:
        raise refusal(kind, content.name)
    if "constant" in state and "mapping.layers.0.weight" in state:
        detail = "an old file without a configuration; write it again with save_generator"
        raise CheckpointError("this file does not state its configuration", [Problem(detail, content.name)])
    return None


def _check_answers(found: Found, answers: Answers) -> None:
    """Raise where an answer contradicts the file, or answers no question about it."""
    answers.check_names(("mapping_lr_multiplier", "conv_clamp"))
    config, problems = found.config, []
    if answers.mapping_lr_multiplier not in (None, config.mapping_lr_multiplier):
        problems.append(Problem(f"the file has {config.mapping_lr_multiplier}", "mapping_lr_multiplier"))
    if answers.conv_clamp is not None and (answers.conv_clamp or None) != config.conv_clamp:
        problems.append(Problem(f"the file has {config.conv_clamp or 0}", "conv_clamp"))
    if problems:
        raise CheckpointError("the answers contradict the file", problems)


def mean_code_findings(network: Network, measure: bool, run: Run) -> tuple[dict[str, object], tuple[str, ...]]:
    """Compare the stored mean code with the mean of mapped latents, or with ``measure`` store that mean.

    Returns ``findings`` in words, ``w_avg`` ("stored" or "measured") and ``w_avg_distance``: the distance of the stored
    mean code from the mean of mapped latents, as a share of the codes' spread; None where it was measured. Chance alone
    gives 0.01; much more means that mapping network, its settings and mean code do not belong together.
    """
    mean, spread = _mean_code(network, run.seed, run.should_stop)
    if measure:
        network.w_avg.copy_(mean)
        note = f"The file has no mean code that can be used; it was measured over {_CODES} mapped latents."
        return {"w_avg": "measured", "w_avg_distance": None, "findings": {"mean code": "measured"}}, (note,)
    distance = float((network.w_avg - mean).norm() / spread.norm().clamp_min(1e-12))
    words = f"stored, {distance:.3f} spreads from where it should be"
    found = {"w_avg": "stored", "w_avg_distance": distance, "findings": {"mean code": words}}
    if distance <= _FAR:
        return found, ()
    note = (
        f"The stored mean code lies {distance:.2g} spreads from the mean of {_CODES} mapped latents: truncated "
        "images may look unlike those of the project it comes from."
    )
    return found, (note,)


def _mean_code(network: Network, seed: int, should_stop: ShouldStop) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of mapped latents, each float [w_dim]; classes take turns."""
    config, random = network.config, torch.Generator().manual_seed(seed)
    batch = min(_BATCH, max(1, _BATCH_NUMBERS // max(config.z_dim + config.w_dim, config.c_dim)))
    total = torch.zeros(2, config.w_dim, dtype=torch.float64)
    for begin in range(0, _CODES, batch):
        stop_if_asked(should_stop)
        count = min(batch, _CODES - begin)
        z, c = torch.randn(count, config.z_dim, generator=random), None
        if config.c_dim:
            c = torch.zeros(count, config.c_dim)
            c[torch.arange(count), torch.arange(begin, begin + count) % config.c_dim] = 1
        w = network.mapping(z, c).double()
        total += torch.stack([w.sum(0), w.square().sum(0)])
    mean, square = total / _CODES
    spread = (square - mean.square()).clamp_min(0).sqrt()
    if not (mean.float().isfinite().all() and spread.float().isfinite().all()):
        raise CheckpointError(
            "this generator maps latents to codes that are not finite", [Problem("overflows", "mapping")]
        )
    return mean.float(), spread.float()
