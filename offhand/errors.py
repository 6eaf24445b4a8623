"""Errors of the SDK, each with the exit code of the command.

::

    ClientError          1    anything else, a failed job included
    ├── JobFailed        1    the job ended without a result; `job` has the reason
    │   └── PoorReconstruction  8    the generator cannot redraw the labelled images
    ├── Unreachable      3    nothing answers at the address, or it stopped answering
    ├── Refused          4    the service refused the request; `problem` is its problem+json document
    ├── DownloadFailed   5    a file differs from the manifest, or cannot be written
    ├── InUse            6    the port or the data folder is in use by another process
    └── NotStarted       7    a part of the service did not start, or ended

A wrong command line ends with 2, `--gate` with 9 where an evaluation's verdict is "do not use", Ctrl-C with 130.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from offhand.documents import Job


class ClientError(Exception):
    """Root of the tree. ``lines`` are further lines for people, one a problem."""

    exit_code: ClassVar[int] = 1
    code: str = "client_error"

    def __init__(self, detail: str, lines: list[str] | None = None) -> None:
        self.detail = detail
        self.lines = lines or []
        super().__init__(detail)

    def __str__(self) -> str:
        return "\n  ".join([self.detail, *self.lines])

    def document(self) -> dict[str, Any]:
        """Return the error as a document, for `--json`."""
        return {"error": {"code": self.code, "detail": self.detail, "problems": self.lines}}


class JobFailed(ClientError):
    """The job is over and there is nothing to download."""

    code = "job_failed"

    def __init__(self, job: Job) -> None:
        self.job = job
        error = job["error"]
        self.code = "job_failed" if error is None else error["code"]
        detail = f"it ended {job['state']}" if error is None else error["detail"]
        lines = [] if error is None else problem_lines(error["errors"])
        if error is not None and error["retryable"]:
            lines.append(f"try again, keeping what is finished: offhand resume {job['id']}")
        super().__init__(f"job {job['id']} {job['state']}: {detail}", lines)


class PoorReconstruction(JobFailed):
    """The job stopped before it trained a labeler: the generator does not draw pictures like the labelled images."""

    exit_code = 8
    code = "poor_reconstruction"


def job_failure(job: Job) -> JobFailed:
    """Return the error for a job that ended without success."""
    error = job["error"]
    poor = error is not None and error["code"] == PoorReconstruction.code
    return PoorReconstruction(job) if poor else JobFailed(job)


class Unreachable(ClientError):
    """Nothing answers at the address of the service."""

    exit_code = 3
    code = "unreachable"


class Refused(ClientError):
    """An error answer of the service."""

    exit_code = 4

    def __init__(self, problem: dict[str, Any]) -> None:
        self.problem = problem
        self.code = problem.get("code", "http_error")
        self.status = int(problem.get("status", 0))
        errors = problem.get("errors") or []
        lines = problem_lines(errors)
        # With a list of problems the title is enough: `detail` repeats them.
        detail = problem.get("title") if lines else problem.get("detail") or problem.get("title")
        super().__init__(str(detail), lines)


class DownloadFailed(ClientError):
    """A file differs from its checksum, or cannot be written."""

    exit_code = 5
    code = "download_failed"


class InUse(ClientError):
    """The port or the data folder is in use by another process."""

    exit_code = 6
    code = "in_use"


class NotStarted(ClientError):
    """A part of the service did not start, or ended."""

    exit_code = 7
    code = "not_started"


def problem_lines(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """``[{detail, pointer}]`` → one line a problem."""
    return [f"{e['pointer']}: {e['detail']}" if e.get("pointer") else str(e.get("detail")) for e in errors]
