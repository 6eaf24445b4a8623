"""Live progress: bars on a terminal, a line now and then in a log, nothing with `--json`."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from offhand.documents import Job, Step
from offhand.sdk.callbacks import OnBytes, OnJob
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WAITING = "waiting"

#: Seconds between two lines about a step that goes on: the first pause, what each one is longer by, and the longest.
FIRST_PAUSE, LONGER_BY, LONGEST_PAUSE = 5.0, 2.0, 120.0


def bars() -> "Progress":
    """Return the progress bars of a job."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=Console(stderr=True),
        transient=False,
    )


class JobProgress:
    """``with JobProgress(output) as show: offhand.wait(job_id, show)``."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.progress: Progress | None = bars() if output.live else None
        self.tasks: dict[str, TaskID] = {}
        self.shown: set[tuple[str, str]] = set()
        self.shown_at, self.pause = 0.0, FIRST_PAUSE

    def __enter__(self) -> OnJob:
        if self.progress:
            self.progress.start()
        return self.show

    def __exit__(self, *exc: object) -> None:
        if self.progress:
            self.progress.stop()

    def show(self, job: Job) -> None:
        """One state of the job."""
        if self.progress:
            self._draw(job, self.progress)
        else:
            self._print(job)

    def _draw(self, job: Job, progress: "Progress") -> None:
        self._draw_queue(job, progress)
        for step in shown_steps(job):
            name = step["name"]
            if step["state"] == "pending" and name not in self.tasks:
                continue
            if name not in self.tasks:
                self.tasks[name] = progress.add_task(step["title"], total=None, note="")
            note = remaining(job) if step["state"] == "running" else step["state"]
            progress.update(self.tasks[name], completed=step["done"], total=step["total"] or None, note=note)
            if step["state"] != "running":
                progress.stop_task(self.tasks[name])

    def _draw_queue(self, job: Job, progress: "Progress") -> None:
        """A row while the job waits in the queue."""
        if job["queue_position"]:
            if WAITING not in self.tasks:
                self.tasks[WAITING] = progress.add_task(f"{WAITING}:", total=None, note="")
            progress.update(self.tasks[WAITING], note=remaining(job))
        elif WAITING in self.tasks:
            progress.remove_task(self.tasks.pop(WAITING))

    def _print(self, job: Job) -> None:
        """A line when the place in the queue or a step's state changes, and ever fewer while a step runs."""
        if job["queue_position"]:
            self._line((WAITING, str(job["queue_position"])), f"{WAITING}: {remaining(job)}")
        for step in shown_steps(job):
            if step["state"] == "pending":
                continue
            counts = f"{step['done']}/{step['total']}" if step["total"] else ""
            words = (f"{step['title']}:", step["state"], counts, remaining(job))
            self._line((step["name"], step["state"]), " ".join(filter(None, words)), lasts=step["state"] == "running")

    def _line(self, about: tuple[str, str], text: str, *, lasts: bool = False) -> None:
        """Print what was not printed yet; and what ``lasts`` again after a pause, each longer than the one before."""
        fresh = about not in self.shown
        if fresh or (lasts and time.monotonic() - self.shown_at >= self.pause):
            self.pause = FIRST_PAUSE if fresh else min(LONGEST_PAUSE, self.pause * LONGER_BY)
            self.shown.add(about)
            self.shown_at = time.monotonic()
            self.output.note(text)


def shown_steps(job: Job) -> list[Step]:
    """The steps of a job; of one that failed, without those after the failed one, which never began."""
    return [step for step in job["steps"] if job["state"] != "failed" or step["state"] != "canceled"]


def remaining(job: Job) -> str:
    """``about 40 s left``, or where the job stands in the queue; empty when nothing is known."""
    if job["queue_position"]:
        return f"number {job['queue_position']} in the queue"
    if not job["estimated_finish_at"]:
        return ""
    seconds = (datetime.fromisoformat(job["estimated_finish_at"]) - datetime.now(UTC)).total_seconds()
    if seconds < 1:
        return ""
    return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """``40 s``, ``7 min``, ``3 h``: as precise as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class ByteProgress:
    """``with ByteProgress(output, "downloading") as on_bytes: …(…, on_bytes)``."""

    def __init__(self, output: Output, title: str) -> None:
        self.output, self.title = output, title
        self.progress: Progress | None = None

    def __enter__(self) -> OnBytes | None:
        if not self.output.live:
            self.output.note(self.title)
            return None
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self.progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=32),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        task = self.progress.add_task(self.title, total=None)
        self.progress.start()
        progress = self.progress
        return lambda done, total: progress.update(task, completed=done, total=total)

    def __exit__(self, *exc: object) -> None:
        if self.progress:
            self.progress.stop()
