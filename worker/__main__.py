"""`python -m worker`: a worker that listens to the broker. `--embedded`: one without a broker, polling the database."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from contextlib import closing
from functools import partial

import structlog

from store.db import Database, open_database
from store.errors import StoreError
from store.jobs.kinds import QUEUES
from store.objects import ObjectStore, open_objects
from store.settings import Settings
from worker.supervisor import Supervisor
from worker.upkeep import Upkeep


def main() -> int:
    """Run until SIGTERM or Ctrl-C. Exit status 1 when the store cannot be opened."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--embedded", action="store_true", help="poll the database, use no broker")
    parser.add_argument("--device", help="cpu, cuda or cuda:N; without it OFFHAND_WORKER__DEVICE")
    parser.add_argument(
        "--queues", type=_queues, default=QUEUES, metavar="NAMES", help=f"of {','.join(QUEUES)}; without it, all"
    )
    chosen = parser.parse_args()
    settings = Settings()
    if chosen.device:
        settings.worker.device = chosen.device
    _configure_logging(settings.log_level)
    try:
        db, objects = open_database(settings), open_objects(settings)
    except StoreError as error:
        print(f"worker: {error.detail}", file=sys.stderr)
        return 1
    supervisor = Supervisor(settings, db, objects, queues=chosen.queues)
    if chosen.embedded:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        with Upkeep(db, objects, supervisor.owner, supervisor.ring):
            supervisor.run()
        return 0
    return _listen(settings, supervisor, db, objects)


def _listen(settings: Settings, supervisor: Supervisor, db: Database, objects: ObjectStore) -> int:
    # Imported here: the embedded mode needs no broker's library.
    from worker.app import attach, create_app, listen, ring

    app = create_app(settings)
    attach(app, supervisor)
    with closing(supervisor), Upkeep(db, objects, supervisor.owner, partial(ring, app)):
        listen(app, settings, supervisor.queues)
    return 0


def _queues(names: str) -> tuple[str, ...]:
    """`sample,train` as queues; argparse names the option when it raises."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    if unknown := set(chosen) - set(QUEUES):
        raise argparse.ArgumentTypeError(f"no queue {', '.join(sorted(unknown))}; there are {', '.join(QUEUES)}")
    return chosen


def _configure_logging(level: str) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
