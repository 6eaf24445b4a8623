"""`offhand events`: the log of a job, so far or as it grows."""

import json
from typing import Annotated

import typer

from offhand.commands.jobs import JobId
from offhand.documents import Event
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import ending


def events(
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print events as they come, until the job ends.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Print the log of a job. With --json and --follow: one JSON document a line."""
    with ending(as_json) as output, connect(url) as client:
        if not follow:
            found = list(client.jobs.events(job))
            output.result(found, "\n".join(map(event_line, found)) or "no events")
            return
        for event in client.jobs.follow_events(job):
            print(json.dumps(event) if as_json else event_line(event), flush=True)


def event_line(event: Event) -> str:
    """Return ``number time level name data`` of an event."""
    data = " ".join(f"{name}={_short(value)}" for name, value in event["data"].items())
    level = "" if event["level"] == "info" else f"{event['level']} "
    return f"{event['number']:>4}  {event['at'][:19]}  {level}{event['name']}  {data}".rstrip()


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
