"""The Celery application. Its one task is a doorbell: a shard may be claimable, and nothing else is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any

from celery import Celery, signals

from store.ids import new_id
from store.settings import Settings
from worker.runtime.supervisor import Supervisor

#: Name of the doorbell task.
RING = "offhand.ring"


def create_app(settings: Settings) -> Celery:
    """A Celery application for the settings' broker, for publishing and, with `attach`, for working."""
    broker = settings.broker
    patience = broker.connect_timeout_seconds
    app = Celery("offhand", broker=broker.url, set_as_current=False)
    app.conf.update(
        task_default_queue=broker.queue,
        task_ignore_result=True,
        # A hint is acknowledged before it is followed: the lease guards the work, a lost hint is rung again.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        # Known to Redis alone; on RabbitMQ a busy worker holds one hint back, which is rung again elsewhere.
        worker_disable_prefetch=broker.url.startswith(("redis:", "rediss:")),
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        broker_connection_timeout=patience,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 3600,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_timeout": max(patience, 5.0),
            "socket_connect_timeout": patience,
        },
        task_publish_retry=False,
    )
    return app


def queue_names(settings: Settings, queues: Iterable[str]) -> list[str]:
    """Return the names of the queues of steps at the broker."""
    return [f"{settings.broker.queue}.{queue}" for queue in queues]


def ring(app: Celery, shard_id: str, queue: str) -> None:
    """Publish a hint. Raises kombu's OperationalError when the broker does not answer in time."""
    name = f"{app.conf.task_default_queue}.{queue}"
    app.send_task(RING, args=[shard_id], queue=name, retry=False, ignore_result=True)


def listen(app: Celery, settings: Settings, queues: Iterable[str]) -> None:
    """Follow the hints of the queues until SIGTERM."""
    # One thread and not a process pool: the work happens in the supervisor's child, never in a fork.
    options = ["--pool=threads", "--concurrency=1", "--loglevel=warning", "--without-gossip", "--without-mingle"]
    # A name of its own for every worker: RabbitMQ refuses a second one of the same name, on the same machine or not.
    name = f"--hostname={new_id('worker')}@%h"
    app.worker_main(["worker", *options, name, f"--queues={','.join(queue_names(settings, queues))}"])


def attach(app: Celery, supervisor: Supervisor) -> None:
    """Let hints that arrive set the supervisor to work, and a shutdown of Celery stop it."""

    @app.task(name=RING, ignore_result=True)  # type: ignore[untyped-decorator]
    def follow(_shard_id: str) -> None:
        # Claims whatever is due, not only what the hint named: a busy worker's hints are then not lost on it, and the
        # broker hands further hints to idle workers.
        supervisor.run_until_idle()
        if supervisor.despair:
            # As a deployment would end it: Celery then closes what it holds.
            os.kill(os.getpid(), signal.SIGTERM)

    @signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def stop(**_arguments: Any) -> None:
        supervisor.stop()
