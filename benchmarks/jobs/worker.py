"""`python -m benchmarks.jobs.worker`: an embedded worker, as of `offhand up`, with the stand-in's steps."""

from __future__ import annotations

import logging
import os
import signal

import structlog

from store.db import open_database
from store.objects import open_objects
from store.settings import Settings
from worker.supervisor import Supervisor
from worker.upkeep import Upkeep

#: The settings as JSON.
VARIABLE = "OFFHAND_BENCHMARK_SETTINGS"


def main() -> None:
    """Run until SIGTERM."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = Settings.model_validate_json(os.environ[VARIABLE])
    db, objects = open_database(settings), open_objects(settings)
    supervisor = Supervisor(settings, db, objects, steps="benchmarks.jobs.steps")
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
    with Upkeep(db, objects, supervisor.owner, supervisor.ring):
        supervisor.run()


if __name__ == "__main__":
    main()
