"""`offhand samples`: images of a generator for people to label."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.jobs import follow
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Name, Sampling, Url, connect, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_samples(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.sample_sets.list())
    rows = [
        [
            one["id"],
            one["name"] or "",
            one["request"]["generator"],
            str(one["request"]["count"] or "by class"),
            one["state"],
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["SAMPLES", "NAME", "GENERATOR", "IMAGES", "STATE", "CREATED"]
    output.result(found, table(columns, rows) if found else "no samples; draw some with: offhand samples draw")


group = listing_group(
    "Samples: images drawn by a generator, to be labelled; they need no inversion.",
    "List drawn samples.",
    list_samples,
)

Folder = Annotated[Path, typer.Option(help="New folder for the images.")]


@group.command("draw")
def draw(
    generator: Annotated[str, typer.Argument(help="Name or id; see `offhand generators`.")],
    out: Folder,
    count: Annotated[int | None, typer.Option(min=1, help="Images.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same images. Default: random, recorded.")] = None,
    truncation_psi: Annotated[float | None, typer.Option(help="0 to 1; lower is safer. [the generator's]")] = None,
    setting: Sampling = None,
    class_index: Annotated[int | None, typer.Option(min=0, help="Single class of a conditional generator.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Class to draw, by index or name; can be repeated. [all]")
    ] = None,
    images_per_class: Annotated[int | None, typer.Option(min=1, help="Images of each class, without --count.")] = None,
    name: Name = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Draw images to be labelled."""
    with ending(as_json) as output, connect(url) as client:
        named = {"seed": seed, "truncation_psi": truncation_psi, "class_index": class_index, "name": name}
        named["images_per_class"] = images_per_class
        settings = request_settings(None, named, setting) | class_list(classes)
        draw_samples(client, generator, count, settings, out, output)


@group.command("fetch")
def fetch(
    samples: Annotated[str, typer.Argument(help="Their id (smp_…).")],
    out: Folder,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Download drawn samples."""
    with ending(as_json) as output, connect(url) as client:
        fetch_samples(client, samples, out, output)


def draw_samples(
    client: "Client", generator: str, count: int | None, settings: dict[str, Any], out: Path, output: Output
) -> None:
    """Draw, wait, and lay the images out in the new folder ``out``, ready for masks beside them."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ClientError(f"{out} is there already: name a new folder")
    job = client.sample_sets.draw(generator, count, **settings)
    output.note(f"job {job['id']}")
    samples = job["result"]["samples"]
    follow(client, job, f"offhand samples fetch {samples} --out {out}", output)
    fetch_samples(client, samples, out, output)


def class_list(classes: list[str] | None) -> dict[str, list[int | str]]:
    """Return the field ``classes`` of a request: a number is an index, anything else a name."""
    return {"classes": [int(one) if one.isdigit() else one for one in classes]} if classes else {}


def fetch_samples(client: "Client", samples: str, out: Path, output: Output) -> None:
    """Lay the images out in the folder ``out``. Files that are there and differ are never replaced."""
    content = client.sample_sets.archive(samples)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_other_files(archive, out)
            archive.extractall(out)
        images = len(list((out / "images").iterdir()))
    except OSError as error:
        raise ClientError(f"cannot write {out}: {error}") from error
    words = f"{images} images of {samples} in {out}; {out / 'LABELING.txt'} has the next steps"
    output.result({"samples": samples, "folder": str(out), "images": images}, words)


def _refuse_other_files(archive: zipfile.ZipFile, out: Path) -> None:
    """Raise where a file of the archive is in the folder already with another content, a label for example."""
    others = [
        one.filename
        for one in archive.infolist()
        if (out / one.filename).is_file() and (out / one.filename).read_bytes() != archive.read(one)
    ]
    if others:
        raise ClientError(f"{out} holds other files of these names; choose a new folder", others)
