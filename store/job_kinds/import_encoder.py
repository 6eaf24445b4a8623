"""Job kind `import_encoder`: a published encoder, fetched, read and stored for a generator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.checks import inversion_problems, perceptual_problems, reference_problems
from store.job_kinds.import_generator import is_upload, source_problems
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import JobSpec


class ImportEncoderSpec(JobSpec):
    """An encoder of ReStyle, pSp or e4e, to invert images with."""

    kind: Literal["import_encoder"] = "import_encoder"
    source: str = Field(min_length=1, max_length=2000, description="A finished upload (`upl_…`) or an https URL.")
    generator: str = Field(description="Name or id of the generator that it was trained for.", max_length=64)
    heads: Literal["psp", "e4e"] | None = Field(
        None, description="Independent rows, or one row and offsets; needed where the file does not state its type."
    )


def _check(where: Submitting, spec: ImportEncoderSpec) -> list[Problem]:
    problems = reference_problems(where, labels=None, generator=spec.generator, count=None)
    problems += inversion_problems(where, spec.generator)
    problems += perceptual_problems(where, spec.generator)
    if not is_upload(spec.source) and "://" not in spec.source:
        return [*problems, Problem(f"expected an upload (`upl_…`) or an https URL, found {spec.source!r}", "/source")]
    return problems + source_problems(where.connection, where.db, spec.source, where.tenant)


KIND = JobKind(
    "import_encoder",
    (StepPlan("import_encoder", "train", title="importing"),),
    ImportEncoderSpec,
    makes=Makes("encoder", "encoders"),
    refusal="the encoder cannot be imported like this",
    check=_check,
)
