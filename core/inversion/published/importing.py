"""Files of published encoders → encoder and report. Whatever a file does not state is asked for.

ReStyle, pSp and e4e write ``state_dict`` (with ``encoder.`` and ``decoder.``), ``opts`` (the command line) and
``latent_avg``. Tensors show backbone, input and maps; only ``opts.encoder_type`` shows whether rows are offsets.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from contracts.text import printable
from core.callbacks import ShouldStop, never_stop
from core.checkpoints.content import CheckpointContent, opened
from core.checkpoints.limits import Limits
from core.checkpoints.state_dicts import ask, read_all, tables
from core.checkpoints.values import StoredTensor
from core.digests import sha256_of
from core.errors import CheckpointError, InversionError, Problem, Stopped
from core.inversion.published.backbones import IR_UNITS, RESNET_UNITS, stage_ends
from core.inversion.published.network import START_CODE, Heads, PublishedConfig, PublishedEncoder, published_encoder

PREFIX = "encoder."
AVERAGE = "latent_avg"
TYPES: Mapping[str, tuple[str, bool, Heads]] = {
    "BackboneEncoder": ("ir_se50", False, "psp"),
    "ResNetBackboneEncoder": ("resnet34", False, "psp"),
    "ProgressiveBackboneEncoder": ("ir_se50", False, "e4e"),
    "ResNetProgressiveBackboneEncoder": ("resnet34", False, "e4e"),
    "GradualStyleEncoder": ("ir_se50", True, "psp"),
    "ResNetGradualStyleEncoder": ("resnet34", True, "psp"),
    "Encoder4Editing": ("ir_se50", True, "e4e"),
}
"""``encoder_type`` → backbone, whether finer maps are joined, heads."""
_HEADS: Mapping[str, Heads] = {"psp": "psp", "e4e": "e4e"}
_CARS = (32, 224)
"""Rows of 256 that encoders for cars see."""
#: Tensors that each backbone has.
_MARKS = {"ir_se50": "input_layer.0.weight", "resnet34": "conv1.weight"}


@dataclass(frozen=True)
class EncoderReport:
    """What was read. ``to_json`` is what the service shows.

    encoder_type: as the file states it; empty where it does not. resolution: pixels of the generator's longer side as
    the file states it, or as its rows show it. start: where the first correction is added: "file" or "generator".
    """

    encoder_type: str
    backbone: str
    heads: str
    iterations: int
    rows: int
    width: int
    resolution: int
    start: str
    parameters: int
    file_bytes: int
    file_sha256: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        return asdict(self) | {"notes": list(self.notes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EncoderReport":
        """Read what :meth:`to_json` wrote."""
        return cls(**{**values, "notes": tuple(values["notes"])})


class ImportedEncoder(NamedTuple):
    """An encoder and the report about its file."""

    encoder: PublishedEncoder
    report: EncoderReport


def import_encoder(
    path: Path, heads: str | None = None, *, limits: Limits | None = None, should_stop: ShouldStop = never_stop
) -> ImportedEncoder:
    """Read a published encoder. Nothing in the file is executed.

    heads: ``psp`` or ``e4e`` where the file does not state its type. Raises
    :class:`core.errors.UnsafeCheckpointError`, and :class:`CheckpointError` for a file that holds no known encoder or
    leaves a question open.
    """
    limits = limits or Limits()
    try:
        with opened(path, limits, should_stop) as content:
            encoder, report = _read(content, heads)
        return ImportedEncoder(encoder, replace(report, file_bytes=path.stat().st_size, file_sha256=sha256_of(path)))
    except (CheckpointError, Stopped):
        raise
    except InversionError as error:
        raise CheckpointError(error.detail, error.problems) from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        detail = f"{type(error).__name__}: {str(error)[:500]}"
        raise CheckpointError("this encoder cannot be read", [Problem(printable(detail), path.name)]) from error


def _read(content: CheckpointContent, heads: str | None) -> tuple[PublishedEncoder, EncoderReport]:
    tensors, average = _tensors(content)
    opts = _options(content.value)
    encoder_type = opts.get("encoder_type", "")
    config = _config(tensors, encoder_type, heads, opts)
    start = None if average is None else _start(average, config)
    notes = []
    if start is None and not config.iterative and not opts.get("start_from_latent_avg", True):
        start = torch.zeros(config.rows, config.width)  # its codes are whole
    elif start is None:
        notes.append("The file has no latent_avg; codes begin at the generator's mean code.")
    own = ("styles.", "latlayer")
    named = {name if name.startswith(own) else f"backbone.{name}": one.float() for name, one in tensors.items()}
    if start is not None:
        named[START_CODE] = start
    encoder = published_encoder(config, {name: tensor.contiguous().clone() for name, tensor in named.items()})
    if not all(bool(tensor.isfinite().all()) for tensor in encoder.state_dict().values()):
        raise CheckpointError("this encoder cannot be read", [Problem("not finite", content.name)])
    report = EncoderReport(
        encoder_type=encoder_type,
        backbone=config.backbone,
        heads=config.heads,
        iterations=5 if config.iterative else 1,
        rows=config.rows,
        width=config.width,
        resolution=_resolution(config, opts),
        start="generator" if start is None else "file",
        parameters=sum(tensor.numel() for tensor in encoder.parameters()),
        file_bytes=0,
        file_sha256="",
        notes=tuple(notes),
    )
    return encoder, report


def _tensors(content: CheckpointContent) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return the encoder's tensors without their prefix, and the mean code beside them, where there is one."""
    if content.tensors is not None:
        inside = {name.removeprefix(PREFIX): one for name, one in content.tensors.items() if name.startswith(PREFIX)}
        if _is_encoder(inside):
            return inside, content.tensors.get(AVERAGE)
        raise _unknown(content)
    for _, table, above in tables(content.value, (AVERAGE,)):
        stored: dict[str, StoredTensor] = {
            name.removeprefix(PREFIX): one for name, one in table.items() if name.startswith(PREFIX)
        }
        if _is_encoder(stored):
            average = above.get(AVERAGE, table.get(AVERAGE))
            read = read_all(stored | ({AVERAGE: average} if average is not None else {}), content.limits)
            return read, read.pop(AVERAGE, None)
    raise _unknown(content)


def _is_encoder(names: Mapping[str, Any]) -> bool:
    return "styles.0.linear.weight" in names and any(mark in names for mark in _MARKS.values())


def _unknown(content: CheckpointContent) -> CheckpointError:
    known = "encoders of ReStyle, pSp and e4e (state_dict with `encoder.`, as their training writes it) are read"
    detail = f"{known}; found {content.summary()}"
    return CheckpointError("this file holds no known encoder", [Problem(printable(detail)[:500], content.name)])


def _options(value: Any) -> dict[str, Any]:
    """Return the options of the file's training that are plain values; none where it has no ``opts``."""
    opts = value.get("opts") if type(value) is dict else None
    if type(opts) is not dict:
        return {}
    return {key: one for key, one in opts.items() if type(key) is str and type(one) in (str, int, bool)}


def _config(
    tensors: Mapping[str, Tensor], encoder_type: str, heads: str | None, opts: Mapping[str, Any]
) -> PublishedConfig:
    backbone = next(name for name, mark in _MARKS.items() if mark in tensors)
    pyramid = "latlayer1.weight" in tensors
    if encoder_type and encoder_type not in TYPES:
        problem = Problem(f"expected one of {', '.join(TYPES)}, found {printable(encoder_type)[:80]}", "encoder_type")
        raise CheckpointError("this type of encoder is not read", [problem])
    if encoder_type and TYPES[encoder_type][:2] != (backbone, pyramid):
        detail = f"{encoder_type} expected, found tensors of {backbone}{' with joined maps' if pyramid else ''}"
        raise CheckpointError("type and tensors of this encoder disagree", [Problem(detail, "encoder_type")])
    stated = TYPES[encoder_type][2] if encoder_type else None
    if stated is None and heads is None:
        raise ask(("heads", "psp (independent rows) or e4e (one row and offsets)"))
    if heads is not None and (heads not in _HEADS or stated not in (None, heads)):
        raise CheckpointError("the answer contradicts the file", [Problem(f"the file has {stated}", "heads")])
    units = IR_UNITS if backbone == "ir_se50" else RESNET_UNITS
    _check_units(tensors, units)
    stem = tensors[_MARKS[backbone]]
    convolution = "res_layer.3.weight" if backbone == "ir_se50" else "conv2.weight"
    ends = stage_ends(units)
    channels = stem.shape[1]
    if channels not in (3, 6):
        raise CheckpointError(
            "this encoder cannot be used", [Problem(f"expected 3 or 6 input channels, found {channels}", "input_nc")]
        )
    return PublishedConfig(
        backbone=backbone,  # type: ignore[arg-type]
        heads=stated or _HEADS[str(heads)],
        rows=1 + max(int(found[1]) for name in tensors if (found := re.match(r"styles\.(\d{1,3})\.", name))),
        width=tensors["styles.0.linear.weight"].shape[0],
        widths=(stem.shape[0], *(tensors[f"body.{end}.{convolution}"].shape[0] for end in ends)),
        squeezes=tuple(tensors[f"body.{end}.res_layer.5.fc1.weight"].shape[0] for end in ends)
        if backbone == "ir_se50"
        else (),
        iterative=channels == 6,
        pyramid=pyramid,
        crop=_CARS if str(opts.get("dataset_type", "")).startswith("cars") and channels == 6 else None,
    )


def _check_units(tensors: Mapping[str, Tensor], units: tuple[int, ...]) -> None:
    count = len({found[1] for name in tensors if (found := re.match(r"body\.(\d+)\.", name))})
    if count != sum(units):
        problem = Problem(f"expected {sum(units)} units, found {count}", "body")
        raise CheckpointError("this backbone is not read", [problem])


def _start(average: Tensor, config: PublishedConfig) -> Tensor:
    """Return the mean code [rows, width] of ``latent_avg`` [rows, width], [1, width] or [width]."""
    code = average.float().reshape(-1, config.width) if average.numel() % config.width == 0 else average
    if code.dim() != 2 or code.shape[0] not in (1, config.rows):
        expected = f"expected [{config.rows}, {config.width}] or [{config.width}], found {list(average.shape)}"
        raise CheckpointError("this encoder cannot be used", [Problem(expected, AVERAGE)])
    return code.expand(config.rows, -1).clone()


def _resolution(config: PublishedConfig, opts: Mapping[str, Any]) -> int:
    stated = opts.get("output_size", opts.get("stylegan_size"))
    shown = 1 << (config.rows + 2) // 2 if config.rows < 40 else 0  # two rows for each doubling from 4 pixels on
    return stated if type(stated) is int and stated > 0 else shown
