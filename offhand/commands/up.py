"""`offhand up` and `offhand worker`: the service on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from offhand.terminal.options import Json
from offhand.terminal.output import ending


def up(
    data: Annotated[
        Path | None, typer.Option(envvar="OFFHAND_HOME", help="Data folder. [$XDG_DATA_HOME/offhand]")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8321,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    wait: Annotated[float, typer.Option(help="Seconds the service may take to become ready.")] = 180.0,
    as_json: Json = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C."""
    with ending(as_json) as output:
        from offhand.embedded.data_folder import data_folder
        from offhand.embedded.processes import serve

        serve(data or data_folder(output), port, log_level, wait, output)


def worker(
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N. [OFFHAND_WORKER__DEVICE]")] = None,
    queues: Annotated[str | None, typer.Option(help="Its queues, of sample,train,cpu. [all]")] = None,
    embedded: Annotated[bool, typer.Option(help="Poll the database instead of listening to a broker.")] = False,
    as_json: Json = False,
) -> None:
    """Run one more worker of a deployment until SIGTERM; settings come from the environment."""
    with ending(as_json):
        from offhand.embedded.processes import become_worker

        become_worker(device, queues, embedded)
