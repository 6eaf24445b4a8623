"""Encoders as their callers see them."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Document, Info
from api.schemas.resources import File
from store.resources.artifacts import Made


class Encoder(Document):
    """Where inversions begin: trained once for a generator, named in any job's `inversion.encoder`."""

    id: str = Field(examples=["enc_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    digest: str
    name: str | None = Field(description="The name of the job that trained it.")
    generator: str
    label_set: str | None = Field(description="What it learnt from beside the generator's own samples.")
    report: Info = Field(description="Reconstruction by iteration, of images seen and not seen, and the loss curve.")
    pictures: list[File] = Field(description="Images, and the attempts at them.")
    created_at: datetime


def encoder_document(made: Made, pictures: list[File]) -> Encoder:
    """Return the document of an encoder."""
    return Encoder(
        id=made.id,
        digest=made.digest,
        name=made.name,
        generator=made.parents["generator_id"],
        label_set=made.parents.get("label_set_id"),
        report=made.info,
        pictures=pictures,
        created_at=made.created_at,
    )
