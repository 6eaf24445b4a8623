"""The typed documents of the SDK have the fields of the service's documents."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from api.schemas import (
    aliases,
    encoders,
    evaluations,
    events,
    exports,
    image_sets,
    jobs,
    resources,
    sample_sets,
    tenants,
)
from api.schemas import uploads as upload_schemas
from api.schemas import webhooks as webhook_schemas
from offhand import documents
from store.resources.catalogue import CatalogueEntry

MODELS: list[type[BaseModel]] = [
    aliases.Alias,
    CatalogueEntry,
    encoders.Encoder,
    evaluations.Evaluation,
    events.Event,
    exports.Export,
    image_sets.ImageSet,
    jobs.Counts,
    jobs.Estimate,
    jobs.Job,
    jobs.JobError,
    jobs.JobProblem,
    jobs.Step,
    resources.Dataset,
    resources.File,
    resources.Generator,
    resources.Labeler,
    resources.LabelSet,
    resources.Training,
    sample_sets.SampleSet,
    tenants.ApiKey,
    tenants.NewApiKey,
    tenants.QuotaItem,
    upload_schemas.Upload,
    webhook_schemas.DeliveryAttempt,
    webhook_schemas.NewWebhookEndpoint,
    webhook_schemas.WebhookDelivery,
    webhook_schemas.WebhookEndpoint,
    webhook_schemas.WebhookSecret,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_typed_document_has_the_fields_of_the_service(model: type[BaseModel]) -> None:
    assert set(getattr(documents, model.__name__).__annotations__) == set(model.model_fields)


def test_every_typed_document_is_compared() -> None:
    typed = {name for name, one in vars(documents).items() if hasattr(one, "__required_keys__")}
    assert typed == {model.__name__ for model in MODELS}
