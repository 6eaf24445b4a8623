"""`offhand labelers`: trained label generators, and what they are worth."""

from pathlib import Path
from typing import Annotated

import typer

from client.options import Json, Url, connect
from client.output import ending

labelers = typer.Typer(help="Labelers: what was trained on labelled images, and what it is worth.")


@labelers.callback(invoke_without_command=True)
def labelers_there_are(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
    """List the labelers there are, or do more with them."""
    if context.invoked_subcommand is None:
        list_the_labelers(url=url, as_json=as_json)


@labelers.command("ls")
def list_the_labelers(url: Url = None, as_json: Json = False) -> None:
    """List the labelers there are."""
    with ending(as_json) as output, connect(url) as offhand:
        from client.labelers import list_labelers

        list_labelers(offhand, output)


@labelers.command("report")
def report_a_labeler(
    labeler: Annotated[str, typer.Argument(help="Its id (lab_…), or that of a job that used it.")],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file for the report.")] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Judge it anew, by so many labelers. [5 the first time]")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Tell what a labeler is worth on images that it has not seen, by cross-validation; made when first asked for."""
    with ending(as_json) as output, connect(url) as offhand:
        from client.labelers import report_labeler

        report_labeler(offhand, labeler, folds, out, picture, output)
