"""A generator → images for people to label, in an archive that becomes a label set once masks are in it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.generators.interface import Codes
from core.label_sets.image_classes import IMAGE_CLASSES
from core.sampling.config import SamplingConfig
from core.sampling.stream import draw_unlabelled
from store.job_kinds.draw_samples import DrawSamplesSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import SamplesBegun
from store.requests.base import JobSpec
from store.requests.sampling import sampling_settings
from store.resources.sample_sets import ARCHIVE, CODES
from worker.loading import load_source
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler, drawn_classes, load_rejection
from worker.steps.inversion.sample_codes import sample_codes_content, sample_name

_GUIDE = """\
These images were drawn by the generator {generator}. Label as many of them as you like:

1. masks/NAME.png for images/NAME.png: palette or grey PNG of the same size, one class id a pixel. Leave out images
   that you do not label. Do not rename, crop or scale anything.
2. classes.json: {{"classes": [{{"id": 0, "name": "background"}}, ...], "ignore_index": 255}}
3. offhand generate FOLDER --generator {generator} --count 1000 --samples {samples} --out DATASET

The names identify the codes of the images, so no inversion is needed.
"""


#: Fields of the request on which no sample depends: equal samples are equal bytes.
_NOT_OF_SAMPLES = set(JobSpec.model_fields) - {"kind"}


def draw_samples(context: StepContext) -> StepResult:
    """Draw, encode, keep the codes; the same bytes whoever does it and however often."""
    spec, samples = context.request(DrawSamplesSpec), context.result(SamplesBegun).samples
    source = load_source(context, spec.generator)
    classes = drawn_classes(source, spec.wanted_classes)
    config = SamplingConfig(
        seed=context.claim.seed,
        start=spec.offset,
        stop=spec.offset + spec.images(len(classes)),
        batch=context.settings.worker.batch,
        classes=tuple(classes),
    )
    bound = bind_sampler(context, source, sampling_settings(spec))
    rejection = load_rejection(context, source, spec.rejection)
    drawn = draw_unlabelled(bound.sampler, config, context.run(source.device), rejection)
    target, codes, indices = context.folder / "samples.zip", [], []
    rows: list[tuple[str, int, str]] = []
    with zipfile.ZipFile(target, "w") as archive:
        for one in drawn:
            _add(archive, f"images/{sample_name(one.index)}.png", _png(one.image))
            codes.append(one.code)
            indices.append(one.index)
            if one.class_index is not None:
                rows.append((f"{sample_name(one.index)}.png", one.class_index, classes[one.class_index]))
        if rows:
            _add(archive, IMAGE_CLASSES, _table(rows))
        about = {
            "samples": samples,
            "generator": source.info.digest,
            "seed": context.claim.seed,
            **spec.model_dump(mode="json", exclude=_NOT_OF_SAMPLES),
            "family": source.generator.family,
            "sampler": bound.sampler.digest,
            "sampling": dict(bound.sampler.settings),
        }
        _add(archive, "samples.json", json.dumps(about, indent=1, sort_keys=True).encode())
        _add(archive, "LABELING.txt", _GUIDE.format(generator=source.row.name, samples=samples).encode())
    facts = {
        "generator": source.info.digest,
        "family": source.generator.family,
        "sampler": bound.sampler.digest,
        "features": bound.sampler.feature_digest,
        "sampling": json.dumps(dict(bound.sampler.settings), sort_keys=True),
    }
    content = sample_codes_content(Codes.cat(codes), indices, facts)
    files = (
        context.put(samples, ARCHIVE, Path(target), "application/zip", items=len(indices)),
        context.put(samples, CODES, content, "application/octet-stream"),
    )
    return StepResult(
        files=(*bound.files, *files),
        made=bound.made,
        events=(NewEvent("samples.drawn", {"samples": samples, "count": len(indices)}),),
    )


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # No time of writing: equal samples are equal bytes.
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _table(rows: list[tuple[str, int, str]]) -> bytes:
    """Return a CSV table of the images' classes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("image", "class_index", "class"), *rows])
    return text.getvalue().encode()


def _png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=6)
    return stream.getvalue()
