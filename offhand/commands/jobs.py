"""`offhand jobs`, `offhand cancel`, `offhand resume`; and how every command follows the job that it starts."""

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.documents import Job
from offhand.errors import problem_lines
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import JobProgress, remaining, shown_steps
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client

JobId = Annotated[str, typer.Argument(help="The job's id.")]


def jobs(
    job: Annotated[str | None, typer.Argument(help="One job in full; without it, the list.")] = None,
    watch: Annotated[bool, typer.Option(help="Follow the job until it ends.")] = False,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List jobs, or show one."""
    with ending(as_json) as output, connect(url) as client:
        if job is None:
            list_jobs(client, state, limit, output)
        elif watch:
            watch_job(client, job, output)
        else:
            show_job(client, job, output)


def cancel(job: JobId, url: Url = None, as_json: Json = False) -> None:
    """Cancel a job; finished results stay."""
    with ending(as_json) as output, connect(url) as client:
        document = client.jobs.cancel(job)
        output.result(document, f"{document['id']} {document['state']}")


def resume(job: JobId, url: Url = None, as_json: Json = False) -> None:
    """Retry the failed parts of a job; finished results stay."""
    with ending(as_json) as output, connect(url) as client:
        document = client.jobs.resume(job)
        output.result(document, f"{document['id']} {document['state']}")


def list_jobs(client: "Client", state: str | None, limit: int, output: Output) -> None:
    """Print a table of at most ``limit`` jobs, newest first."""
    found = list(islice(client.jobs.list(state=state), limit))
    rows = [
        [
            job["id"],
            job["kind"],
            job["name"] or "",
            job["state"],
            f"{job['counts']['done']}/{job['counts']['total']}",
            job["created_at"][:19],
        ]
        for job in found
    ]
    output.result(found, table(["JOB", "KIND", "NAME", "STATE", "IMAGES", "CREATED"], rows) if found else "no jobs")


def show_job(client: "Client", job_id: str, output: Output) -> None:
    """Print one job."""
    job = client.jobs.get(job_id)
    output.result(job, job_text(job))


def watch_job(client: "Client", job_id: str, output: Output) -> None:
    """Show progress until the job ends; raise where it fails."""
    with JobProgress(output) as show:
        job = client.jobs.wait(job_id, show)
    output.result(job, job_text(job))


def job_text(job: Job) -> str:
    """Return a job in lines."""
    counts = job["counts"]
    lines = [
        f"{job['id']}  {job['kind']}  {job['state']}  {remaining(job)}".rstrip(),
        f"  images   {counts['done']} of {counts['total']}, {counts['rejected']} rejected, {counts['failed']} failed",
        f"  seed     {job['seed']}",
    ]
    lines += [f"  {s['name']:<14} {s['state']:<10} {s['done']}/{s['total']}" for s in shown_steps(job)]
    lines += [f"  {name:<8} {value}" for name, value in job["result"].items() if isinstance(value, str)]
    if job["error"] is not None:
        lines.append(f"  error    {job['error']['code']}: {job['error']['detail']}")
        lines += [f"    {line}" for line in problem_lines(job["error"]["errors"])]
        if job["error"]["retryable"]:
            lines.append(f"  try again, keeping what is finished: offhand resume {job['id']}")
    return "\n".join(lines)


def follow(client: "Client", job: Job, fetching: str, output: Output) -> Job:
    """Show progress until the job ends; Ctrl-C asks whether the job should end too.

    ``fetching``: the command that fetches the job's result later, printed on Ctrl-C.
    """
    try:
        with JobProgress(output) as show:
            return client.jobs.wait(job["id"], show)
    except KeyboardInterrupt:
        _leave(client, job, fetching, output)
        raise


def _leave(client: "Client", job: Job, fetching: str, output: Output) -> None:
    if sys.stdin.isatty() and not output.as_json:
        from rich.prompt import Confirm

        if Confirm.ask(f"\nCancel {job['id']} as well?", default=False):
            client.jobs.cancel(job["id"])
            output.note(f"{job['id']} is being canceled")
            return
    output.note(f"\n{job['id']} continues.")
    output.note(f"  follow:   offhand jobs {job['id']} --watch")
    output.note(f"  fetch:    {fetching}")
    output.note(f"  cancel:   offhand cancel {job['id']}")
