"""`python -m worker.service.relay`: the program that looks after all jobs of a deployment and does no work of theirs.

It publishes hints to the broker, repeats hints that no worker took, requeues shards whose lease expired, ends jobs
whose time is over, and sweeps up. One is enough and two do no harm; while none is there jobs wait, and nothing is lost.
"""

from __future__ import annotations

import signal
import sys
import time
from functools import partial

from store.database.database import open_database
from store.errors import StoreError
from store.objects import open_objects
from store.settings import Settings
from worker.service.background_loops import deployment_upkeep
from worker.service.celery_app import create_app, ring
from worker.service.logs import configure_logging

#: Seconds between checks for a stop request.
_LOOK_SECONDS = 0.2


def main() -> int:
    """Run until SIGTERM or Ctrl-C. Exit status 1 when the store cannot be opened."""
    settings = Settings()
    configure_logging(settings.log_level)
    try:
        relay(settings)
    except StoreError as error:
        print(f"relay: {error}", file=sys.stderr)
        return 1
    return 0


def relay(settings: Settings) -> None:
    """Look after the deployment that the settings name until SIGTERM or Ctrl-C. Raises StoreError."""
    # A plain flag: a handler may run while this thread holds any lock.
    stopping = False

    def stop(*_arguments: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    db = open_database(settings)
    with deployment_upkeep(db, open_objects(settings), partial(ring, create_app(settings))):
        while not stopping:
            time.sleep(_LOOK_SECONDS)
    db.close()


if __name__ == "__main__":
    sys.exit(main())
