"""Examples of an upload under the three rules, before one of them is applied."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from store.errors import NotFound, NotReady
from store.job_kinds.preview_images import PreviewImagesSpec
from store.jobs.submit import submit_request
from store.resources.image_previews import get_preview
from store.resources.image_sets import list_image_sets
from store.uploads.files import delete_upload
from tests.core.training.test_images import encoded, picture
from tests.worker.inline import TENANT, InlineWorker, content, view
from tests.worker.steps.image_sets.test_add_images import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


def test_a_preview_is_a_picture_and_adds_no_image_set(service: Service) -> None:
    files = {f"{index}.png": encoded(picture(index, 20 + 10 * index, 40)) for index in range(5)}
    source = service.upload(files | {"broken.png": b"no picture"})
    job = submit_request(service.db, PreviewImagesSpec(source=source, height=16, width=24, count=3), tenant=TENANT).job
    with pytest.raises(NotReady, match="queued"):
        get_preview(service.db, job.id, tenant=TENANT)
    InlineWorker(service.db, service.objects).run()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    assert ended.result.ids["preview"] == job.id
    file = get_preview(service.db, job.id, tenant=TENANT)
    assert Image.open(io.BytesIO(content(service.db, service.objects, source, file.name))).format == "PNG"
    assert list_image_sets(service.db, tenant=TENANT).items == []
    delete_upload(service.db, service.objects, source, tenant=TENANT)
    with pytest.raises(NotFound, match="went with its upload"):
        get_preview(service.db, job.id, tenant=TENANT)


def test_a_preview_of_files_that_cannot_be_read_fails(service: Service) -> None:
    source = service.upload({"broken.png": b"no picture"})
    job = submit_request(service.db, PreviewImagesSpec(source=source, height=16, width=24), tenant=TENANT).job
    InlineWorker(service.db, service.objects).run()
    error = view(service.db, job).error
    assert error is not None
    assert (error.code, error.detail) == ("bad_image_set", "no image can be read")
