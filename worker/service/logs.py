"""Log lines of worker and relay: JSON on standard error."""

from __future__ import annotations

import logging
import sys

import structlog

from store.logs import make_output_optional


def configure_logging(level: str) -> None:
    """Send log lines at `level` (debug, info, warning or error) and above to standard error, as long as it takes them:
    a line that cannot be written stops nothing.
    """
    make_output_optional()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
