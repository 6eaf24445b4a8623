"""`python -m tests.worker.serve`: a worker as `python -m worker` is one, but with test steps and given settings."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

from store.db import open_database
from store.objects import open_objects
from store.settings import Settings
from tests.worker.servicekit import STEPS
from worker.app import attach, create_app, ring
from worker.supervisor import Supervisor
from worker.upkeep import Upkeep


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.model_validate_json(os.environ["OFFHAND_TEST_SETTINGS"])
    db, objects = open_database(settings), open_objects(settings)
    supervisor = Supervisor(settings, db, objects, steps=STEPS)
    if "--broker" not in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
        with Upkeep(db, objects, supervisor.owner, supervisor.ring):
            supervisor.run()
        return
    app = create_app(settings)
    attach(app, supervisor)
    with Upkeep(db, objects, supervisor.owner, partial(ring, app)):
        app.worker_main(["worker", "--pool=threads", "--concurrency=1", "--loglevel=warning", "--without-gossip"])
    supervisor.close()


if __name__ == "__main__":
    main()
