"""Start of an inversion: the encoder that the caller chose, or the generator's own."""

from __future__ import annotations

from dataclasses import replace

from core.errors import InversionError, Problem
from core.inversion.code_encoder import CodeEncoder
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.distance import Perceptual
from store.resources.artifacts import get_encoder
from store.resources.reports import encoder_report
from worker.loading import Source, load_inverters
from worker.runtime.step_context import StepContext


def chosen_inverters(
    context: StepContext, source: Source, encoder_id: str | None
) -> tuple[Source, CodeEncoder | None, Perceptual]:
    """The source with the digests of what is used, the encoder to begin with and the perceptual distance.

    Raises InversionError for an encoder of another generator, NotFound.
    """
    own, perceptual = load_inverters(context, source)
    if encoder_id is None:
        return source, own, perceptual
    made = get_encoder(context.db, encoder_id, tenant=context.tenant)
    if encoder_report(made).generator_digest != source.info.digest:
        problem = Problem(f"{encoder_id} was trained for another generator", "inversion.encoder")
        raise InversionError("the encoder does not fit the generator", [problem])

    def load() -> CodeEncoder:
        folder = context.folder / encoder_id
        context.fetch_all(encoder_id, folder)
        encoder = load_encoder(folder, source.device)
        assert encoder is not None
        return encoder

    encoder = context.models.get(f"encoder {made.digest} {source.device}", load)
    return replace(source, inversion_digest=source.inversion_digest | {"encoder": made.digest}), encoder, perceptual
