"""Log lines of the service: an event `noun.verb` and its fields, for people on a terminal and as JSON elsewhere."""

import logging
import sys
from typing import Any

import structlog

from store.logs import make_output_optional


def configure(level: str = "info") -> None:
    """Send structlog to stderr at ``level``; uvicorn's own loggers keep to warnings: every request is logged here.

    A line that cannot be written, on a full disk most of all, stops nothing.
    """
    make_output_optional()
    on_terminal = sys.stderr.isatty()
    if on_terminal:
        render: Any = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        render = structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not on_terminal:
        processors.append(structlog.processors.format_exc_info)
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[*processors, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
