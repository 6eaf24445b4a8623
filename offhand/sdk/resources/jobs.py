"""`client.jobs`: what the service works on."""

import time
from collections.abc import Iterator

from offhand.documents import Event, Job
from offhand.errors import Unreachable, job_failure
from offhand.sdk.callbacks import OnJob
from offhand.sdk.live_events import live_events
from offhand.sdk.resources.resource import Resource

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})


class Jobs(Resource):
    """Jobs. They are started by the objects of what they make, as by ``client.datasets.generate``."""

    path = "/v1/jobs"

    def list(
        self,
        state: str | None = None,
        kind: str | None = None,
        label: str | None = None,
        created_after: str | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, newest first; ``label``: ``name=value``; ``created_after``: RFC 3339 with a time zone."""
        return self._connection.pages(Job, self.path, state=state, kind=kind, label=label, created_after=created_after)

    def get(self, job_id: str) -> Job:
        """Return one job."""
        return self._connection.get(Job, self._at(job_id))

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield the log of a job so far."""
        return self._connection.pages(Event, self._at(job_id, "events"))

    def follow_events(self, job_id: str) -> Iterator[Event]:
        """Yield the log of a job from its beginning, each event as it comes, until the job ends. A connection that
        breaks is made again, without a gap.

        Raises :class:`~offhand.errors.Unreachable` for a service that does not come back within the client's patience.
        """
        yield from live_events(self._connection, self._at(job_id, "events"))

    def cancel(self, job_id: str) -> Job:
        """Stop a job. The finished part of its dataset stays readable."""
        return self._connection.send(Job, "POST", self._at(job_id, "cancel"))

    def resume(self, job_id: str) -> Job:
        """Try the failed part of a job again; everything that is finished stays."""
        return self._connection.send(Job, "POST", self._at(job_id, "resume"))

    def watch(self, job_id: str, every: float = 0.5, timeout: float | None = None) -> Iterator[Job]:
        """Yield the job each time it has changed, last in its terminal state, or in its state after ``timeout``
        seconds whether it has changed or not. A service that restarts is waited for.

        ``every``: seconds between two requests.
        """
        give_up_at = float("inf") if timeout is None else time.monotonic() + timeout
        etag: str | None = None
        job: Job | None = None
        while True:
            left = give_up_at - time.monotonic()
            try:
                response = self._connection.request(
                    "GET",
                    self._at(job_id),
                    headers={"If-None-Match": etag} if etag else None,
                    within=None if job is None else left,
                )
            except Unreachable:
                if job is None or time.monotonic() < give_up_at:
                    raise
                yield job
                return
            if response.status_code != 304:
                etag = response.headers.get("etag")
                changed: Job = response.json()
                job = changed
                yield changed
                if changed["state"] in TERMINAL:
                    return
            left = give_up_at - time.monotonic()
            if left <= 0 and job is not None:
                if response.status_code == 304:
                    yield job
                return
            time.sleep(min(every, max(0.0, left)))

    def wait(self, job_id: str, progress: OnJob | None = None, timeout: float | None = None) -> Job:
        """Wait until the job succeeds and return it.

        ``progress`` is called with the job each time it has changed. Raises :class:`~offhand.errors.JobFailed` when
        the job ends otherwise, and ``TimeoutError`` after ``timeout`` seconds, also while the job is queued or
        unchanged; the job goes on.
        """
        for job in self.watch(job_id, timeout=timeout):
            if progress:
                progress(job)
            if job["state"] == "succeeded":
                return job
            if job["state"] in TERMINAL:
                raise job_failure(job)
        raise TimeoutError(f"job {job_id} is still {job['state']} after {timeout:g} s; it goes on")
