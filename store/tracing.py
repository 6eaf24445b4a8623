"""Spans from a request to the shards of its job (OpenTelemetry), once a collector is named; else nothing is loaded.

The trace of a POST travels with the job (`jobs.traceparent`), as W3C's trace context writes it, and is the parent of
the spans of its shards, in whatever process and however much later they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from store.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Value = str | int | float | bool


class _Switch:
    """The process's tracer; None while tracing is off."""

    tracer: Tracer | None = None


def switch_on(settings: Settings, program: str, exporter: SpanExporter | None = None) -> None:
    """Send this process's spans to the collector that the settings name; without one, stay off.

    `program`: `api` or `worker`. `exporter`: where they go instead, for tests. Raises ModuleNotFoundError that says
    what to install when a collector is named and OpenTelemetry is not there.
    """
    if not settings.tracing.endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError as error:
        advice = "OFFHAND_TRACING__ENDPOINT is set and OpenTelemetry is missing: pip install -e '.[tracing]'"
        raise ModuleNotFoundError(advice) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"offhand-{program}"}))
    if exporter is None:
        endpoint = f"{settings.tracing.endpoint.rstrip('/')}/v1/traces"
        # In a thread of its own, and what the collector does not take is dropped, so that nothing waits for it.
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _Switch.tracer = provider.get_tracer("offhand")


def switch_off() -> None:
    """Make no further spans."""
    _Switch.tracer = None


@contextmanager
def span(
    name: str,
    *,
    kind: Literal["internal", "server", "consumer"] = "internal",
    parent: str = "",
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Span | None]:
    """A span around the block, an error of which marks it. `parent`: a `traceparent`; without it, the span around.

    Yields the span, for a name that is known only later (`update_name`), or None while tracing is off.
    """
    if _Switch.tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    started = _Switch.tracer.start_as_current_span(
        name, context, kind=SpanKind[kind.upper()], attributes=dict(attributes or {})
    )
    with started as made:
        yield made


def traceparent() -> str:
    """The span around, as W3C's `traceparent`; empty while tracing is off or where there is none."""
    if _Switch.tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def note(name: str, value: Value) -> None:
    """Put an attribute on the span around, if there is one."""
    if _Switch.tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attribute(name, value)
