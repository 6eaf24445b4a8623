"""`offhand generators train`: unlabelled images in, a generator of their domain out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.images import image_set_text, pack_images, size_of
from offhand.commands.jobs import follow
from offhand.documents import Generator, ImageSet, Training
from offhand.errors import ClientError
from offhand.terminal.options import Json, Url, connect, request_settings
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def train(
    images: Annotated[
        str,
        typer.Argument(help="Photographs: a folder, an archive, a parquet file, or the name or id of an image set."),
    ],
    name: Annotated[str, typer.Option(help="Name of the generator, and of the image set where one is made.")],
    resolution: Annotated[
        str | None,
        typer.Option(help="Size of the images in pixels: 64, or HEIGHTxWIDTH. An image set has its own."),
    ] = None,
    kimg: Annotated[float | None, typer.Option(help="Budget in thousands of images. [that of the preset]")] = None,
    hours: Annotated[float | None, typer.Option(help="Budget in hours of training.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Train on from this generator (name or id) instead of from nothing.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Settings by name: small, default, or an experiment of NoisyTwins. [small]"),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the training in place of the preset's: NAME=JSON, e.g. r1_gamma=1"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed. [drawn at random and recorded]")] = None,
    fit: Annotated[
        str | None, typer.Option(help="crop, pad or stretch images of another shape. Label by the same rule. [crop]")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the images; passed on to the generator.")] = None,
    domain: Annotated[str | None, typer.Option(help="What it draws, in a few words.")] = None,
    prepare: Annotated[
        bool,
        typer.Option(help="Train a perceptual network and an encoder for it, so that photographs can be labelled."),
    ] = True,
    wait: Annotated[bool, typer.Option(help="Follow the job and print its result.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train a generator on unlabelled images. Other jobs go first; Ctrl-C leaves it running."""
    with ending(as_json) as output, connect(url) as client:
        packing = {"fit": fit, "licence": licence}
        image_set = image_set_for(client, images, name, resolution, packing, output)
        fields = {
            "kimg": kimg,
            "hours": hours,
            "generator": start,
            "preset": preset,
            "seed": seed,
            "domain": domain,
            "licence": licence,
            "settings": request_settings(setting or [], {}) or None,
            "preparation": None if prepare else {"perceptual": False, "encoder": False},
        }
        job = client.generators.train(image_set["id"], name, **fields)
        output.note(f"job {job['id']}")
        if not wait:
            output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
            return
        job = follow(client, job, f"offhand generators show {name}", output)
        generator = client.generators.get(job["result"]["generator"])
        output.result(generator, training_text(generator))


def image_set_for(
    client: "Client", images: str, name: str, resolution: str | None, packing: dict[str, Any], output: Output
) -> ImageSet:
    """Return the image set that is named, or one made of files. Raises ClientError before anything is uploaded where
    the size is missing or wrong, or the name is taken.
    """
    path = Path(images)
    if not path.exists():
        found = client.image_sets.get(images)
        _check_size(found, resolution)
        return found
    if resolution is None:
        raise ClientError("expected the size of the images: --resolution 64, or HEIGHTxWIDTH")
    height, width = size_of(resolution)
    found = pack_images(client, images, name, {**packing, "height": height, "width": width}, output)
    output.note(image_set_text(found, client.image_sets.report(found["id"]), None))
    return found


def _check_size(found: ImageSet, resolution: str | None) -> None:
    if resolution is not None and size_of(resolution) != (found["height"], found["width"]):
        size = f"{found['height']}x{found['width']}"
        raise ClientError(f"--resolution {resolution}: the image set {found['name']} has {size}; leave it out")


def training_text(generator: Generator) -> str:
    """Return the result of a training in lines."""
    lines = [
        f"{generator['name']}  {generator['height']}×{generator['width']} (height × width)  {generator['id']}",
        f"  licence     {generator['licence'] or 'not given'}",
    ]
    return "\n".join([*lines, *training_lines(generator["training"])])


def training_lines(training: Training | None) -> list[str]:
    """Return how a generator was trained, in lines; none where the service did not train it."""
    if training is None:
        return []
    best, quality = training["best"], training["quality"]
    lines = [
        f"  trained     {training['images_seen']:,} images in {training['seconds'] / 3600:.1f} h; "
        f"ended: {training['ended'] or 'not yet, or canceled'}",
        f"  best        distance {best['frechet']:.3g} to held-out images, recall {best['recall']:.2f}, "
        f"after {best['images']:,.0f} images",
    ]
    if quality is not None and quality["memorised"]:
        lines.append(f"  warning     {quality['memorization']}")
    return lines + [f"  warning     {text}" for text in training["warnings"]]
