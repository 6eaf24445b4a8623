"""`offhand samples`: labelled images without photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.groups.listed import group
from client.options import Json, Url, connect
from client.output import Output, ending

if TYPE_CHECKING:
    from client.sdk import Offhand


def _list(offhand: "Offhand", output: Output) -> None:
    from client.samples import list_samples

    list_samples(offhand, output)


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
