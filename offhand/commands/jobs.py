"""What there is: jobs and generators, as tables for people and as JSON for programs."""

from itertools import islice
from typing import TYPE_CHECKING, Any

from offhand.errors import problem_lines
from offhand.terminal.output import Output
from offhand.terminal.progress import JobProgress, remaining, shown_steps

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Columns padded to their widest cell; no frame, so that it can be cut and searched."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [columns, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def list_jobs(client: "Client", state: str | None, limit: int, output: Output) -> None:
    found = list(islice(client.jobs(state=state), limit))
    rows = [
        [
            job["id"],
            job["kind"],
            job["state"],
            f"{job['counts']['done']}/{job['counts']['total']}",
            job["created_at"][:19],
        ]
        for job in found
    ]
    output.result(found, table(["JOB", "KIND", "STATE", "IMAGES", "CREATED"], rows) if found else "no jobs")


def show_job(client: "Client", job_id: str, output: Output) -> None:
    job = client.job(job_id)
    output.result(job, job_text(job))


def follow_job(client: "Client", job_id: str, output: Output) -> None:
    """Until the job ends; the exit code says how."""
    with JobProgress(output) as show:
        job = client.wait(job_id, show)
    output.result(job, job_text(job))


def job_text(job: dict[str, Any]) -> str:
    counts = job["counts"]
    lines = [
        f"{job['id']}  {job['kind']}  {job['state']}  {remaining(job)}".rstrip(),
        f"  images   {counts['done']} of {counts['total']}, {counts['rejected']} rejected, {counts['failed']} failed",
        f"  seed     {job['seed']}",
    ]
    lines += [f"  {s['name']:<14} {s['state']:<10} {s['done']}/{s['total']}" for s in shown_steps(job)]
    if job.get("result"):
        lines += [f"  {name:<8} {value}" for name, value in job["result"].items() if isinstance(value, str)]
    if job.get("error"):
        lines.append(f"  error    {job['error']['code']}: {job['error']['detail']}")
        lines += [f"    {line}" for line in problem_lines(job["error"].get("errors") or [])]
        if job["error"]["retryable"]:
            lines.append(f"  try again, keeping what is finished: offhand resume {job['id']}")
    return "\n".join(lines)


def list_generators(client: "Client", output: Output) -> None:
    found = client.generators()
    rows = [
        [
            g["name"],
            f"{g['height']}×{g['width']}",
            g["state"],
            str(g.get("domain") or ""),
            g["licence"],
            g["digest"][:12],
        ]
        for g in found
    ]
    columns = ["NAME", "HEIGHT×WIDTH", "STATE", "DOMAIN", "LICENCE", "DIGEST"]
    output.result(found, table(columns, rows) if found else "no generators: none is installed")
