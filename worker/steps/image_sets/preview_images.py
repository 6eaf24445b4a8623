"""Uploaded photographs → a picture of examples under each rule that brings them to a size."""

from __future__ import annotations

from core.errors import ImageSetError, Problem
from core.training.image_sources.examples import choose_examples
from core.training.image_sources.reader import read_photographs
from core.visualization.image_sheets import fit_preview
from store.job_kinds.preview_images import PreviewImagesSpec
from store.jobs.commits import StepResult
from store.resources.image_previews import preview_file
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.validate import fetch_upload


def preview_images(context: StepContext) -> StepResult:
    """Draw the picture. Raises ImageSetError for an archive that is refused or holds no readable photograph."""
    spec = context.request(PreviewImagesSpec)
    upload = fetch_upload(context, spec.source)
    found = read_photographs(upload, context.folder / "entries", should_stop=context.should_stop)
    examples = choose_examples(found.images, spec.count, context.run("cpu", seed=spec.seed))
    if not examples:
        raise ImageSetError("no image can be read", [Problem("expected JPEG, PNG, WebP or BMP", upload.name)])
    picture = fit_preview(examples, spec.height, spec.width)
    return StepResult(files=(context.put(spec.source, preview_file(context.claim.job_id), picture, "image/png"),))
