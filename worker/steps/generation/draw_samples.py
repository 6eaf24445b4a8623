"""A generator → images for people to label, in an archive that becomes a label set once masks are in it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

from core.sampling.config import SamplingConfig
from core.sampling.stream import draw_unlabelled
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.resources.sample_sets import ARCHIVE, CODES
from worker.loading import load_source
from worker.runtime.step_context import StepContext
from worker.steps.inversion.sample_codes import INDICES, W_PLUS, sample_name

_GUIDE = """\
These images were drawn by the generator {generator}. Label as many of them as you like:

1. masks/NAME.png for images/NAME.png: palette or grey PNG of the same size, one class id a pixel. Leave out images
   that you do not label. Do not rename, crop or scale anything.
2. classes.json: {{"classes": [{{"id": 0, "name": "background"}}, ...], "ignore_index": 255}}
3. offhand generate FOLDER --generator {generator} --count 1000 --samples {samples} --out DATASET

The names say which codes drew the images. So nothing has to be inverted.
"""


def draw_samples(context: StepContext) -> StepResult:
    """Draw, encode, keep the codes; the same bytes whoever does it and however often."""
    source = load_source(context)
    spec, samples = context.spec, context.claim.result["samples"]
    config = SamplingConfig(
        seed=context.claim.seed,
        start=spec["offset"],
        stop=spec["offset"] + spec["count"],
        batch=context.settings.worker.batch,
        truncation_psi=spec["truncation_psi"],
        class_index=spec["class_index"],
    )
    drawn = draw_unlabelled(
        source.network,
        source.info.noise,
        config,
        device=source.device,
        progress=context.progress,
        should_stop=context.should_stop,
    )
    target, codes, indices = context.folder / "samples.zip", [], []
    with zipfile.ZipFile(target, "w") as archive:
        for one in drawn:
            _add(archive, f"images/{sample_name(one.index)}.png", _png(one.image))
            codes.append(torch.from_numpy(one.w_plus))
            indices.append(one.index)
        about = {"samples": samples, "generator": source.info.digest, "seed": context.claim.seed, **spec}
        _add(archive, "samples.json", json.dumps(about, indent=1, sort_keys=True).encode())
        _add(archive, "LABELING.txt", _GUIDE.format(generator=source.row.name, samples=samples).encode())
    content = safetensors.torch.save(
        {W_PLUS: torch.stack(codes).contiguous(), INDICES: torch.tensor(indices)}, {"generator": source.info.digest}
    )
    files = (
        context.put(samples, ARCHIVE, Path(target), "application/zip", items=len(indices)),
        context.put(samples, CODES, content, "application/octet-stream"),
    )
    return StepResult(files=files, events=(NewEvent("samples.drawn", {"samples": samples, "count": len(indices)}),))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # No time of writing: equal samples are equal bytes.
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=6)
    return stream.getvalue()
