"""What can go wrong for a client, each with the exit code the command ends with.

::

    ClientError          1    anything else, a failed job included
    ├── JobFailed        1    the job ended without a dataset; `job` says why
    │   └── PoorReconstruction  8    the generator cannot redraw the labelled images
    ├── Unreachable      3    nothing answers at the address, or it stopped answering
    ├── Refused          4    the service refused the request; `problem` is its problem+json document
    ├── DownloadFailed   5    a file is not what the manifest promises, or cannot be written
    ├── InUse            6    the port or the data folder belongs to somebody else
    └── NotStarted       7    a part of the service did not start, or died

A wrong command line ends with 2, Ctrl-C with 130.
"""

from typing import Any, ClassVar


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
        """For `--json`."""
        return {"error": {"code": self.code, "detail": self.detail, "problems": self.lines}}


class JobFailed(ClientError):
    """The job is over and there is nothing to download."""

    code = "job_failed"

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        error = job.get("error") or {}
        self.code = error.get("code") or "job_failed"
        detail = error.get("detail") or f"it ended {job['state']}"
        lines = problem_lines(error.get("errors") or [])
        if error.get("retryable"):
            lines.append(f"try again, keeping what is finished: offhand resume {job['id']}")
        super().__init__(f"job {job['id']} {job['state']}: {detail}", lines)


class PoorReconstruction(JobFailed):
    """The job stopped before it trained a labeler: the generator does not draw pictures like the labelled images."""

    exit_code = 8
    code = "poor_reconstruction"


def job_failure(job: dict[str, Any]) -> JobFailed:
    """The error for a job that ended without success."""
    code = (job.get("error") or {}).get("code")
    return PoorReconstruction(job) if code == PoorReconstruction.code else JobFailed(job)


class Unreachable(ClientError):
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
        # With a list of problems the title says enough: `detail` repeats them.
        detail = problem.get("title") if lines else problem.get("detail") or problem.get("title")
        super().__init__(str(detail), lines)


class DownloadFailed(ClientError):
    exit_code = 5
    code = "download_failed"


class InUse(ClientError):
    exit_code = 6
    code = "in_use"


class NotStarted(ClientError):
    exit_code = 7
    code = "not_started"


def problem_lines(errors: list[dict[str, Any]]) -> list[str]:
    """``[{detail, pointer}]`` → one line a problem."""
    return [f"{e['pointer']}: {e['detail']}" if e.get("pointer") else str(e.get("detail")) for e in errors]
