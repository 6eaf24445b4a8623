"""`python -m tests.worker.serve`: a worker or relay as the real ones, but with test steps and given settings."""

from __future__ import annotations

import os
import signal
import sys
import time

from store.database.database import open_database
from store.jobs.kinds import QUEUES
from store.objects import open_objects
from store.settings import Settings
from worker.runtime.supervisor import Supervisor
from worker.service.background_loops import deployment_upkeep, worker_upkeep
from worker.service.celery_app import attach, create_app, listen
from worker.service.logs import configure_logging
from worker.service.relay import relay


def main() -> None:
    """Run until SIGTERM."""
    _misset_clock(float(os.environ.get("OFFHAND_TEST_CLOCK", "0")))
    settings = Settings.model_validate_json(os.environ["OFFHAND_TEST_SETTINGS"])
    configure_logging(settings.log_level)
    if "--relay" in sys.argv:
        relay(settings)
        return
    db, objects = open_database(settings), open_objects(settings)
    queues = tuple(filter(None, os.environ.get("OFFHAND_TEST_QUEUES", "").split(","))) or QUEUES
    supervisor = Supervisor(settings, db, objects, queues=queues, steps=os.environ["OFFHAND_TEST_STEPS"])
    if "--broker" not in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
        with worker_upkeep(db, supervisor.owner), deployment_upkeep(db, objects, supervisor.ring):
            supervisor.run()
        return
    app = create_app(settings)
    attach(app, supervisor)
    with worker_upkeep(db, supervisor.owner):
        listen(app, settings, supervisor.queues)
    supervisor.close()


def _misset_clock(seconds: float) -> None:
    """Let this process believe in another wall time."""
    true_time = time.time
    time.time = lambda: true_time() + seconds


if __name__ == "__main__":
    main()
