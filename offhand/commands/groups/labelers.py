"""`offhand labelers`: trained label generators, and what they are worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.terminal.groups import group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def _list(client: "Client", output: Output) -> None:
    from offhand.commands.labelers import list_labelers

    list_labelers(client, output)


labelers = group(
    "Labelers: what was trained on labelled images, and what it is worth.", "List the labelers there are.", _list
)


@labelers.command("train")
def train_a_labeler(
    labels: Annotated[str, typer.Argument(help="Archive or folder of labelled images, or the id of an upload.")],
    generator: Annotated[str, typer.Option(help="Name or id; see `offhand generators`.")],
    folds: Annotated[int | None, typer.Option(min=2, help="Labelers that judge it by cross-validation. [5]")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. labeler.members=5"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and tell what came of it.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train a labeler for datasets to come, and judge it; equal ones are trained once."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generate import request_settings
        from offhand.commands.labelers import train_labeler

        settings = request_settings(setting or [], {"folds": folds})
        train_labeler(client, labels, generator, settings, wait, output)


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
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.labelers import report_labeler

        report_labeler(client, labeler, folds, out, picture, output)
