"""Checkpoints of ajbrock/BigGAN-PyTorch: BigGAN and BigGAN-deep trained there, or ported from DeepMind's TFHub modules.

Weights alone do not state the eps of the norm layers: it is assumed as in that project's launch scripts, or as in TFHub
for ported files, which lack ``sv0``. The configuration that a run stores beside its weights (``state_dict.pth``) states
it.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.state_dicts import ask
from core.errors import CheckpointError, Problem
from core.generators.answers import Answer, Answers
from core.generators.biggan.checkpoints.found import Found, translated
from core.generators.biggan.config import BigGANConfig, BlockShape

MARKS = ("blocks.0.0.bn1.gain.weight",)
ANSWERS = ("norm_eps", "spectral_eps", "spectral_iterations", "standing_statistics", "depth")
#: Channels behind the blocks of one resolution each, in units of the width, by image side.
_WIDTHS: Mapping[int, tuple[int, ...]] = {
    32: (4, 4, 4),
    64: (16, 8, 4, 2),
    128: (16, 8, 4, 2, 1),
    256: (16, 8, 8, 4, 2, 1),
    512: (16, 8, 8, 4, 2, 1, 1),
}
#: The output norm of that project has its default eps, whatever the others have.
_OUTPUT_EPS = 1e-5
_PORTED_EPS = 1e-4
_LAUNCH: Mapping[str, float] = {"norm_eps": 1e-5, "spectral_eps": 1e-6}
#: Our setting → its name in the configuration of a run.
_CONFIGURED = {
    "norm_eps": "BN_eps",
    "spectral_eps": "SN_eps",
    "spectral_iterations": "num_G_SV_itrs",
    "depth": "G_depth",
}
#: Values that a run's configuration leaves out where they are the project's defaults.
_DEFAULTS: Mapping[str, Answer] = {"norm_eps": 1e-5, "spectral_eps": 1e-8, "spectral_iterations": 1, "depth": 2}
_STATISTICS = {
    part: (f"stored_{part}", f"bn.stored_{part}", f"bn.running_{part}", f"running_{part}") for part in ("mean", "var")
}
_IGNORED = ("sv0", "accumulation_counter", "num_batches_tracked")


def read_ajbrock(tensors: Mapping[str, Tensor], name: str, run: Mapping[str, Any], answers: Answers) -> Found:
    """Return the generator of a state dictionary. run: configuration of the run, empty where the file has none.

    Raises :class:`CheckpointError` for tensors of no such generator, and for open questions.
    """
    answers.check_names(ANSWERS)
    ported = "linear.u0" in tensors and "linear.sv0" not in tensors
    settings, notes = _settings(run, answers, ported)
    config = _config(tensors, settings)
    sums = _sums(tensors, answers, notes)

    def change(ours: str, tensor: Tensor) -> Tensor:
        if ours.endswith((".mean", ".var")):
            return (tensor / sums.get(ours.rpartition(".")[0], 1.0))[None]
        if ours.endswith(".gamma"):
            return tensor.reshape(()) if tensor.numel() == 1 else tensor
        return tensor.flatten() if ours.endswith(".u") else tensor

    state = translated(config, tensors, _names, change, _IGNORED)
    return Found("tfhub-port" if ported else "ajbrock", name, config, state, tuple(notes))


def _settings(run: Mapping[str, Any], answers: Answers, ported: bool) -> tuple[dict[str, Answer], list[str]]:
    """Return what the tensors do not show, and notes about what had to be assumed."""
    stated = {ours: run.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIGURED.items()} if run else {}
    wrong = [
        Problem(f"the file has {stated[ours]}", ours)
        for ours, given in answers.others.items()
        if ours in stated and stated[ours] != given
    ]
    if wrong:
        raise CheckpointError("the answers contradict the file", wrong)
    given = {**stated, **answers.others}
    notes, settings = [], dict(given)
    for ours, usual in _LAUNCH.items():
        if ours not in given:
            settings[ours] = _PORTED_EPS if ported else usual
            if not ported:
                notes.append(f"The file does not state {ours}; {usual:g} is assumed, as in that project's scripts.")
    if "spectral_iterations" not in given:
        settings["spectral_iterations"] = 1
    return settings, notes


def _sums(tensors: Mapping[str, Tensor], answers: Answers, notes: list[str]) -> dict[str, float]:
    """Return, by our name of the norm layer, the number of batches whose statistics the file has the sum of."""
    endings = ".bn.accumulation_counter"
    counted = {name.removesuffix(endings): float(one) for name, one in tensors.items() if name.endswith(endings)}
    standing = answers.others.get("standing_statistics", any(count > 0 for count in counted.values()))
    if not standing or not counted:
        return {}
    if "standing_statistics" not in answers.others:
        notes.append(
            "Its batch-norm statistics are read as sums of standing statistics, since their counter is not zero; if "
            "training went on after they were measured, answer standing_statistics=false."
        )
    if not all(count > 0 for count in counted.values()):
        raise CheckpointError(
            "the standing statistics are incomplete", [Problem("not a positive count", "accumulation_counter")]
        )
    return {_ours(name): count for name, count in counted.items()}


def _ours(norm: str) -> str:
    """Their name of a norm layer → ours."""
    return "output_norm" if norm == "output_layer.0" else re.sub(r"^blocks\.(\d+)\.0\.", r"blocks.\1.", norm)


def _names(ours: str) -> list[str]:
    """Our name of a tensor → its possible names in the file."""
    theirs = re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.0.", ours)
    theirs = re.sub(r"^attention\.(\d+)\.", r"blocks.\1.1.", theirs)
    theirs = re.sub(r"^output_norm\.", "output_layer.0.", theirs)
    theirs = re.sub(r"^output\.", "output_layer.2.", theirs)
    stem, _, part = theirs.rpartition(".")
    if part in _STATISTICS:
        return [f"{stem}.{name}" for name in _STATISTICS[part]]
    return [f"{stem}.u0"] if part == "u" else [theirs]


def _config(tensors: Mapping[str, Tensor], settings: Mapping[str, Answer]) -> BigGANConfig:
    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    count = len({name.split(".")[1] for name in shapes if re.fullmatch(r"blocks\.\d+\.0\.conv1\.weight", name)})
    deep = "blocks.0.0.conv4.weight" in shapes
    last = "conv4" if deep else "conv2"
    wanted = {"linear.weight": 2, "blocks.0.0.bn1.gain.weight": 2, "output_layer.2.weight": 4}
    wanted |= {f"blocks.{index}.0.{conv}.weight": 4 for index in range(count) for conv in ("conv1", last)}
    wanted |= {"shared.weight": 2} if "shared.weight" in shapes else {}
    problems = [
        Problem("missing, or of another form", name) for name in wanted if len(shapes.get(name, ())) != wanted[name]
    ]
    if problems or not count:
        raise CheckpointError(
            "this is no BigGAN generator", problems or [Problem("missing", "blocks.0.0.conv1.weight")]
        )
    widths = [
        (shapes[f"blocks.{index}.0.conv1.weight"][1], shapes[f"blocks.{index}.0.{last}.weight"][0])
        for index in range(count)
    ]
    depth = _depth([after for _, after in widths], settings) if deep else 1
    classes, shared = shapes.get("shared.weight", (shapes["blocks.0.0.bn1.gain.weight"][0], 0))
    first, width = shapes["linear.weight"][1], shapes["blocks.0.0.bn1.gain.weight"][1]
    chunked = bool(not deep and shared and width != shared)
    return BigGANConfig(
        architecture="biggan-deep" if deep else "biggan",
        blocks=tuple(BlockShape(*pair, index % depth == depth - 1) for index, pair in enumerate(widths)),
        z_dim=first - shared if deep else first * (count + 1) if chunked else first,
        classes=classes,
        shared_dim=shared,
        chunked=chunked,
        attention=tuple(index for index in range(count) if f"blocks.{index}.1.gamma" in shapes),
        output_channels=shapes["output_layer.2.weight"][0],
        norm_eps=_number(settings["norm_eps"]),
        output_norm_eps=_OUTPUT_EPS,
        spectral_norm="iterated" if "linear.u0" in shapes else "none",
        spectral_eps=_number(settings["spectral_eps"]),
        spectral_iterations=_whole(settings["spectral_iterations"]),
    )


def _number(value: Answer) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else -1.0


def _whole(value: Answer) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _depth(widths: list[int], settings: Mapping[str, Answer]) -> int:
    """Return how many blocks of BigGAN-deep work at one resolution; the last of them doubles it."""
    if "depth" in settings:
        depth = _whole(settings["depth"])
        if depth < 1 or len(widths) % depth:
            raise CheckpointError(
                "this depth does not fit", [Problem(f"{len(widths)} blocks are no multiple", "depth")]
            )
        return depth
    fitting = []
    for depth in range(1, len(widths) + 1):
        ends = widths[depth - 1 :: depth]
        table = _WIDTHS.get(4 << len(ends)) if len(widths) % depth == 0 else None
        if table and all(one * table[-1] == ends[-1] * unit for one, unit in zip(ends, table, strict=True)):
            fitting.append(depth)
    if len(fitting) != 1:
        raise ask(("depth", "how many blocks work at one resolution (G_depth)"))
    return fitting[0]
