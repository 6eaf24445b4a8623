"""`python -m benchmarks.jobs.worker [STEPS]`: an embedded worker, as of `offhand up`, with the steps of a module."""

from __future__ import annotations

import logging
import os
import signal
import sys

import structlog

from store.database.database import open_database
from store.objects import open_objects
from store.settings import Settings
from worker.runtime.supervisor import Supervisor
from worker.service.background_loops import deployment_upkeep, worker_upkeep

#: The settings as JSON; without it those of the environment.
VARIABLE = "OFFHAND_BENCHMARK_SETTINGS"


def main() -> None:
    """Run until SIGTERM."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = Settings.model_validate_json(os.environ[VARIABLE]) if VARIABLE in os.environ else Settings()
    (steps,) = sys.argv[1:] or ["benchmarks.jobs.steps"]
    db, objects = open_database(settings), open_objects(settings)
    supervisor = Supervisor(settings, db, objects, steps=steps)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
    with worker_upkeep(db, supervisor.owner), deployment_upkeep(db, objects, supervisor.ring):
        supervisor.run()


if __name__ == "__main__":
    main()
