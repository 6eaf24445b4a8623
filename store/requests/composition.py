"""Composition by content in a request: classes that a dataset has to show."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from store.requests.base import Spec


class ClassDemandSpec(Spec):
    """At least so many images of the dataset show a class."""

    model_config = ConfigDict(serialize_by_alias=True)

    class_name: str = Field(alias="class", min_length=1, max_length=80, description="Name of the class.")
    min_fraction: float = Field(gt=0.0, le=1.0, description="Part of the delivered images that show it.")
    min_area: float = Field(
        0.001, gt=0.0, le=1.0, description="Part of an image's pixels, as labelled, from which on it shows the class."
    )
