"""Builds the service. `create_app(settings)` is the only way to make one; `python -m api` runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles

from api.backend import Backend
from api.protocol import errors
from api.protocol.head_requests import HeadAsGet
from api.protocol.idempotency_lock import OneRequestPerKey
from api.protocol.middleware import RequestContext
from api.protocol.request_bodies import Impatience, SmallBodies
from api.protocol.request_checks import check_request
from api.reference.openapi import describe
from api.routes import (
    aliases,
    catalogue,
    datasets,
    encoders,
    evaluations,
    events,
    exports,
    generators,
    health,
    image_sets,
    jobs,
    label_sets,
    labelers,
    metrics,
    pages,
    sample_sets,
    tenants,
    upload_parts,
    uploads,
    webhooks,
)
from api.security.authentication import Authentication
from api.security.origin_check import LOOPBACK, OwnPagesOnly
from store import tracing
from store.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application over ``settings`` (default: from the environment). Opens nothing by itself."""
    settings = settings or Settings()
    tracing.switch_on(settings, "api")
    backend = Backend(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001 - the signature of a lifespan
        yield
        backend.close()

    app = FastAPI(
        title="Offhand",
        version="0.1.0",
        summary="A handful of labelled images and a frozen generator in, a labelled dataset of any size out.",
        lifespan=lifespan,
        docs_url=None,  # the interactive pages come from a CDN
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(check_request)],
    )
    app.state.backend = backend
    for noun in (
        uploads,
        upload_parts,
        label_sets,
        image_sets,
        generators,
        catalogue,
        encoders,
        sample_sets,
        labelers,
        jobs,
        events,
        datasets,
        aliases,
        exports,
        evaluations,
        tenants,
        webhooks,
        health,
        metrics,
        pages,
    ):
        app.include_router(noun.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    errors.install(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SmallBodies)
    app.add_middleware(Impatience)
    app.add_middleware(OneRequestPerKey)
    on_loopback = settings.api.host in LOOPBACK
    keys_required = settings.api.keys == "required" or not on_loopback
    app.add_middleware(
        Authentication, backend=backend, required=keys_required, trusted_proxies=settings.api.trusted_proxies
    )
    app.add_middleware(OwnPagesOnly, own_names_only=on_loopback and not keys_required)
    app.add_middleware(RequestContext)
    describe(app, keys_required)
    return app
