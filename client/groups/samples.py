"""`offhand samples`: labelled images without photographs."""

from pathlib import Path
from typing import Annotated

import typer

from client.options import Json, Url, connect
from client.output import ending

samples = typer.Typer(help="Samples: a generator's own images, for people to label; nothing has to be inverted then.")

Folder = Annotated[Path, typer.Option(help="New folder for the images.")]


@samples.callback(invoke_without_command=True)
def samples_there_are(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
    """List the samples that were drawn, or draw more."""
    if context.invoked_subcommand is None:
        list_the_samples(url=url, as_json=as_json)


@samples.command("ls")
def list_the_samples(url: Url = None, as_json: Json = False) -> None:
    """List the samples that were drawn."""
    with ending(as_json) as output, connect(url) as offhand:
        from client.samples import list_samples

        list_samples(offhand, output)


@samples.command("draw")
def draw_some_samples(
    generator: Annotated[str, typer.Argument(help="Name or id; see `offhand generators`.")],
    count: Annotated[int, typer.Option(min=1, help="Images.")],
    out: Folder,
    seed: Annotated[int | None, typer.Option(help="Same seed, same images. Default: random, recorded.")] = None,
    truncation_psi: Annotated[float | None, typer.Option(help="0 to 1; lower is safer and less varied. [0.7]")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Draw images for people to label."""
    with ending(as_json) as output, connect(url) as offhand:
        from client.samples import draw_samples

        settings = {"seed": seed, "truncation_psi": truncation_psi}
        draw_samples(offhand, generator, count, settings, out, output)


@samples.command("fetch")
def fetch_drawn_samples(
    samples: Annotated[str, typer.Argument(help="Their id (smp_…).")],
    out: Folder,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Fetch images that were drawn."""
    with ending(as_json) as output, connect(url) as offhand:
        from client.samples import fetch_samples

        fetch_samples(offhand, samples, out, output)
