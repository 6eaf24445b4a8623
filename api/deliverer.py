"""`python -m api.deliverer`: delivers webhooks from their outbox. Any number of these processes may run."""

import signal
import sys
import threading

import structlog

from api import logs
from store.database.database import Database, open_database
from store.egress import Lookup, look_up, request
from store.errors import EgressFailed, EgressRefused, StoreError
from store.settings import Settings
from store.webhooks.deliveries import Due, settle, take_due
from store.webhooks.sealing import Unreadable, reseal, unseal
from store.webhooks.signing import signed_headers

log = structlog.get_logger(__name__)

#: Endpoints that are called at the same time; each is called for one delivery at a time.
THREADS = 4
#: Seconds that an endpoint may take to answer.
TIMEOUT_SECONDS = 15.0
#: How often an idle thread looks for something to do.
POLL_SECONDS = 1.0


class Deliverer:
    """Takes what is due, sends it, writes down how it went."""

    def __init__(self, db: Database, *, lookup: Lookup = look_up) -> None:
        self.db, self.lookup = db, lookup
        self.stopping = threading.Event()

    def run(self) -> None:
        """Deliver until `stop`."""
        self.seal_secrets()
        threads = [threading.Thread(target=self._work, name=f"deliverer-{n}") for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """End the loop after the delivery that is running."""
        self.stopping.set()

    def deliver_due(self) -> int:
        """Try everything that is due now, one after another; the number of tries."""
        tried = 0
        while not self.stopping.is_set() and (due := take_due(self.db)) is not None:
            self._try(due)
            tried += 1
        return tried

    def seal_secrets(self) -> None:
        """Encrypt secrets that are plain, or that an older key encrypted."""
        try:
            done, unreadable = reseal(self.db)
        except StoreError as error:
            log.warning("webhook.secrets_not_sealed", code=error.code, detail=error.detail)
            return
        if done:
            log.info("webhook.secrets_sealed", secrets=done)
        for endpoint in unreadable:
            log.error("webhook.secret_unreadable", endpoint=endpoint, detail=str(Unreadable()))

    def _work(self) -> None:
        while not self.stopping.is_set():
            try:
                self.deliver_due()
            except StoreError as error:
                log.warning("webhook.postponed", code=error.code, detail=str(error))
            except Exception as error:
                # One bad delivery must not end the deliverer; its lease ends and it is tried again.
                log.error("webhook.fault", exc_info=error)
            self.stopping.wait(POLL_SECONDS)

    def _try(self, due: Due) -> None:
        status, problem = None, None
        try:
            secrets = [unseal(self.db.settings, secret) for secret in due.secrets]
            headers = signed_headers(due.message_id, due.timestamp, due.body, secrets)
            with request(
                "POST",
                due.url,
                body=due.body,
                headers={"Content-Type": "application/json", "User-Agent": "offhand-webhooks", **headers},
                timeout=TIMEOUT_SECONDS,
                trusted_hosts=self.db.settings.egress.trusted_hosts,
                lookup=self.lookup,
            ) as answer:
                status = answer.status
        except (EgressRefused, EgressFailed) as error:
            problem = error.detail[:500]
        except Unreadable as error:
            problem = str(error)
            log.error("webhook.secret_unreadable", endpoint=due.endpoint_id, detail=problem)
        state = settle(self.db, due, status=status, error=problem)
        log.info("webhook.tried", delivery=due.id, endpoint=due.endpoint_id, status=status, error=problem, state=state)


def main() -> int:
    """Deliver webhooks until a signal ends the process; return the exit code."""
    settings = Settings()
    logs.configure(settings.log_level)
    try:
        db = open_database(settings)
    except StoreError as error:
        print(f"deliverer: {error}", file=sys.stderr)
        return 1
    deliverer = Deliverer(db)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: deliverer.stop())
    deliverer.run()
    db.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
