"""The quality report of a generator as files of the generator."""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.evaluation.generator_quality import GeneratorQuality
from core.evaluation.report.generator_report import headline, report_html, samples_png
from core.training.images import PackedImages
from store.resources.files import File
from store.resources.image_sets import ImageSet
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG, report_file
from worker.digests import json_values
from worker.runtime.step_context import StepContext


def quality_files(
    context: StepContext,
    generator_id: str,
    name: str,
    quality: GeneratorQuality,
    images: PackedImages,
    image_set: ImageSet,
    notes: Sequence[str] = (),
) -> tuple[File, ...]:
    """Store the report of the job as JSON, page and picture of samples. notes: further ones than those of `quality`."""
    title = f"Quality of {name}"
    document = json_values(
        {
            "report": context.claim.job_id,
            "images": {
                "id": image_set.id,
                "name": image_set.name,
                "digest": image_set.digest,
                "flips": image_set.flips,
            },
            "headline": headline(quality),
            **quality.to_json(),
            "notes": [*quality.notes, *notes],
        }
    )
    page = report_html(quality, images.training, images.held_out, title)
    contents = (
        (REPORT_JSON, json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False).encode(), "application/json"),
        (REPORT_HTML, page.encode(), "text/html; charset=utf-8"),
        (REPORT_PNG, samples_png(quality.samples, title), "image/png"),
    )
    return tuple(
        context.put(generator_id, report_file(context.claim.job_id, file), content, media_type)
        for file, content, media_type in contents
    )
