"""`offhand encoders`: where inversions begin, trained for a generator."""

from pathlib import Path
from typing import Annotated

import typer

from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import ending

encoders = typer.Typer(help="Encoders: trained for a generator, they make inversion quicker and better.")

Picture = Annotated[Path | None, typer.Option(help="PNG file for images beside the attempts at them.")]


@encoders.callback(invoke_without_command=True)
def encoders_there_are(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
    """List the encoders there are, or do more with them."""
    if context.invoked_subcommand is None:
        list_the_encoders(url=url, as_json=as_json)


@encoders.command("ls")
def list_the_encoders(
    generator: Annotated[str | None, typer.Option(help="Only those trained for it, by name or id.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the encoders there are."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.encoders import list_encoders

        list_encoders(client, generator, output)


@encoders.command("train")
def train_an_encoder(
    generator: Annotated[str, typer.Argument(help="Name or id; see `offhand generators`.")],
    labels: Annotated[
        str | None, typer.Option(help="Labelled images to learn from: archive, folder or id of an earlier upload.")
    ] = None,
    train_on: Annotated[
        str | None, typer.Option(help="samples, labels or both. [both with --labels, else samples]")
    ] = None,
    heads: Annotated[str | None, typer.Option(help="e4e or psp. [e4e]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. align.by=boxes")
    ] = None,
    picture: Picture = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and tell what came of it.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train an encoder for a generator; equal ones are trained once."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.encoders import train_encoder
        from offhand.commands.generate import request_settings

        train_on = train_on or ("samples" if labels is None else "both")
        settings = request_settings(setting or [], {"train_on": train_on, "heads": heads, "steps": steps})
        train_encoder(client, generator, labels, settings, picture, wait, output)


@encoders.command("show")
def show_an_encoder(
    encoder: Annotated[str, typer.Argument(help="Its id (enc_…), or that of its job.")],
    picture: Picture = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Tell what an encoder is worth: reconstruction after each iteration."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.encoders import show_encoder

        show_encoder(client, encoder, picture, output)
