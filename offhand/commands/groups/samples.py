"""`offhand samples`: labelled images without photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.terminal.groups import group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def _list(client: "Client", output: Output) -> None:
    from offhand.commands.samples import list_samples

    list_samples(client, output)


samples = group(
    "Samples: a generator's own images, for people to label; nothing has to be inverted then.",
    "List the samples that were drawn.",
    _list,
)

Folder = Annotated[Path, typer.Option(help="New folder for the images.")]


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
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.samples import draw_samples

        settings = {"seed": seed, "truncation_psi": truncation_psi}
        draw_samples(client, generator, count, settings, out, output)


@samples.command("fetch")
def fetch_drawn_samples(
    samples: Annotated[str, typer.Argument(help="Their id (smp_…).")],
    out: Folder,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Fetch images that were drawn."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.samples import fetch_samples

        fetch_samples(client, samples, out, output)
