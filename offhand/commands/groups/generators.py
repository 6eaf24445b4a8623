"""`offhand generators`: what can be drawn from, and checkpoints made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.terminal.groups import group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def _list(client: "Client", output: Output) -> None:
    from offhand.commands.jobs import list_generators

    list_generators(client, output)


generators = group(
    "Generators the service has, and checkpoints made elsewhere.", "List the generators the service has.", _list
)


@generators.command("add")
def add_generator(
    source: Annotated[
        str, typer.Argument(help="Checkpoint: a file, an https URL, a name of the catalogue, or an upload's id.")
    ],
    name: Annotated[str | None, typer.Option(help="What it will be called. [from the source]")] = None,
    licence: Annotated[str | None, typer.Option(help="What its maker permits; files do not say it.")] = None,
    domain: Annotated[str | None, typer.Option(help="What it draws, in a few words.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. answers.conv_clamp=256"),
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="Save a picture of samples here.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Import a StyleGAN2 checkpoint of NVIDIA's, rosinality's or our own. Nothing in the file is executed."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generate import request_settings
        from offhand.commands.generators import add_generator as add

        settings = request_settings(setting or [], {"licence": licence, "domain": domain})
        add(client, source, name, settings, preview, output)


@generators.command("preview")
def preview_generator(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    to: Annotated[Path | None, typer.Option("--out", help="PNG file. [NAME.png]")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Save a picture of what an imported generator draws."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generators import save_preview

        save_preview(client, name, to, output)


@generators.command("rm")
def remove_generator(
    name: Annotated[str, typer.Argument(help="Name or id.")], url: Url = None, as_json: Json = False
) -> None:
    """Forget an imported generator. Labelers and datasets that were made with it stay."""
    with ending(as_json) as output, connect(url) as client:
        client.delete_generator(name)
        output.result({"deleted": name}, f"{name} is forgotten")


@generators.command("catalogue")
def show_catalogue(url: Url = None, as_json: Json = False) -> None:
    """List public checkpoints that can be added by name."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generators import list_catalogue

        list_catalogue(client, output)
