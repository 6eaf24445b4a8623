"""`python -m worker`: a worker that listens to the broker, for which `python -m worker.service.relay` rings.

`--embedded`: one without a broker, which polls the database and looks after everything itself.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import closing, suppress

from store import tracing
from store.database.database import Database, open_database
from store.errors import StoreError
from store.jobs.kinds import QUEUES
from store.objects import open_objects
from store.settings import Settings
from worker.runtime.folders import sweep_folders
from worker.runtime.supervisor import Supervisor
from worker.service.background_loops import deployment_upkeep, worker_upkeep
from worker.service.logs import configure_logging


def main() -> int:
    """Run until SIGTERM or Ctrl-C. Exit status 1 when the store cannot be opened or no child process can start."""
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
    configure_logging(settings.log_level)
    tracing.switch_on(settings, "worker")
    try:
        db, objects = open_database(settings), open_objects(settings)
    except StoreError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    sweep_folders()
    supervisor = Supervisor(settings, db, objects, queues=chosen.queues)
    if chosen.embedded:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        with worker_upkeep(db, supervisor.owner), deployment_upkeep(db, objects, supervisor.ring):
            supervisor.run()
        return _ended(supervisor)
    return _listen(settings, supervisor, db)


def _ended(supervisor: Supervisor) -> int:
    """The exit status; a machine that cannot work says why, so that whoever started the worker sees it end."""
    if supervisor.despair:
        print(f"worker: cannot work on this machine (run `offhand doctor`): {supervisor.despair}", file=sys.stderr)
        return 1
    return 0


def _listen(settings: Settings, supervisor: Supervisor, db: Database) -> int:
    # Imported here: the embedded mode needs no broker's library.
    from worker.service.celery_app import attach, create_app, listen

    app = create_app(settings)
    attach(app, supervisor)
    with closing(supervisor), worker_upkeep(db, supervisor.owner):
        supervisor.warm()
        # Celery ends by SystemExit; what it leaves to say is said here.
        with suppress(SystemExit):
            listen(app, settings, supervisor.queues)
    return _ended(supervisor)


def _queues(names: str) -> tuple[str, ...]:
    """`sample,train` as queues; argparse names the option when it raises."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    if unknown := set(chosen) - set(QUEUES):
        raise argparse.ArgumentTypeError(f"no queue {', '.join(sorted(unknown))}; there are {', '.join(QUEUES)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
