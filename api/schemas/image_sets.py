"""Image sets: unlabelled images that generators are trained on."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Document, Request
from store.job_kinds.add_images import ImageSetName
from store.resources.image_sets import ImageSet as StoredImageSet


class ImageSet(Document):
    """Unlabelled images at one size. Training jobs name it; nothing in it changes."""

    id: str = Field(examples=["ims_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    name: str = Field(examples=["xrays"])
    digest: str = Field(description="SHA-256 of pixels, names and classes.")
    images: int
    height: int
    width: int
    channels: Literal[1, 3] = Field(description="1: all images are grey.")
    classes: dict[str, int] = Field(description="Images of each class; empty without classes.")
    held_out: int = Field(description="Images that no training sees, kept for its metrics.")
    fit: Literal["crop", "pad", "stretch"] = Field(description="How images of another shape were brought to the size.")
    flips: bool = Field(description="Whether a training may mirror images left to right.")
    flips_reason: str
    unreadable: int = Field(description="Files that could not be read and were left out.")
    copies: int = Field(description="Images that are copies of others.")
    warnings: list[str]
    licence: str
    report: str = Field(description="The whole report: it names unreadable files and copies.")
    contact_sheet: str = Field(description="A picture of some images of each class.")
    created_at: datetime


class ImageSetChange(Request):
    """Change of an image set."""

    name: ImageSetName = Field(description="Its new name.")


def image_set_document(found: StoredImageSet) -> ImageSet:
    """Return the document of an image set."""
    path, facts = f"/v1/image-sets/{found.id}", found.facts
    return ImageSet(
        id=found.id,
        name=found.name,
        digest=found.digest,
        images=found.images,
        height=found.height,
        width=found.width,
        channels=facts.channels,
        classes=facts.classes,
        held_out=facts.held_out,
        fit=facts.fit,
        flips=facts.flips,
        flips_reason=facts.flips_reason,
        unreadable=facts.unreadable,
        copies=facts.copies,
        warnings=list(facts.warnings),
        licence=found.licence,
        report=f"{path}/report",
        contact_sheet=f"{path}/contact-sheet",
        created_at=found.created_at,
    )
