"""`offhand images`: add photographs without labels as image sets, list, show, rename and delete them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.jobs import follow
from offhand.documents import ImageSet
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client

#: Lines of a report that are printed; the whole report is a file.
_LISTED = 10


def list_image_sets(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.image_sets.list())
    rows = [
        [
            one["name"],
            f"{one['images']:,}",
            f"{one['height']}×{one['width']}",
            str(len(one["classes"]) or ""),
            first_line(one["licence"]),
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["IMAGE SET", "IMAGES", "HEIGHT×WIDTH", "CLASSES", "LICENCE", "CREATED"]
    output.result(found, table(columns, rows) if found else "no image sets; add one with: offhand images add FOLDER")


group = listing_group(
    "Image sets: photographs without labels that generators are trained on.",
    "List image sets.",
    list_image_sets,
)

NameOrId = Annotated[str, typer.Argument(help="Name or id.")]


@group.command("add")
def add(
    source: Annotated[
        str, typer.Argument(help="Folder, zip, tar, WebDataset tar or parquet file of photographs; or an upload's id.")
    ],
    resolution: Annotated[str, typer.Option(help="Size of all images: 64, or HEIGHTxWIDTH such as 96x64.")],
    name: Annotated[str | None, typer.Option(help="Its name. [from the source]")] = None,
    fit: Annotated[
        str | None, typer.Option(help="How other shapes are brought to the size: crop, pad or stretch. [crop]")
    ] = None,
    flips: Annotated[
        bool | None,
        typer.Option(help="Whether a training may mirror images. [on, unless a class is named left or right]"),
    ] = None,
    classes: Annotated[bool, typer.Option(help="Folders are classes.")] = True,
    imbalance: Annotated[
        float | None, typer.Option(help="Keep a long tail of the classes: the largest has so many times the smallest.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence. [from LICENSE or README beside the images]")] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Add nothing; save a picture of examples under each rule of --fit here.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. seed=1")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Pack photographs at one size as an image set, for generators to be trained on."""
    height, width = size_of(resolution)
    with ending(as_json) as output, connect(url) as client:
        if preview is not None:
            preview_images(client, source, (height, width), preview, output)
            return
        named = {
            "fit": fit, "flips": flips, "imbalance": imbalance, "licence": licence,
            "classes": None if classes else "none",
        }  # fmt: skip
        settings = request_settings(setting or [], named | {"height": height, "width": width})
        add_images(client, source, name, settings, output)


@group.command("show")
def show(
    name: NameOrId,
    sheet: Annotated[Path | None, typer.Option(help="Save the contact sheet here (PNG).")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show an image set: classes, held-out part, unreadable files, copies, warnings."""
    with ending(as_json) as output, connect(url) as client:
        show_image_set(client, client.image_sets.get(name), sheet, output)


@group.command("rename")
def rename(
    name: NameOrId,
    to: Annotated[str, typer.Argument(help="Its new name.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Rename an image set."""
    with ending(as_json) as output, connect(url) as client:
        document = client.image_sets.rename(name, to)
        output.result(document, f"{document['id']} is named {document['name']}")


@group.command("rm")
def remove(name: NameOrId, url: Url = None, as_json: Json = False) -> None:
    """Delete an image set that no job needs. Generators that were trained on it stay."""
    with ending(as_json) as output, connect(url) as client:
        client.image_sets.delete(name)
        output.result({"deleted": name}, f"{name} is deleted")


def add_images(client: "Client", source: str, name: str | None, settings: dict[str, Any], output: Output) -> None:
    """Upload ``source`` where it is a path, pack it, print what was found."""
    show_image_set(client, pack_images(client, source, name or name_of(source), settings, output), None, output)


def pack_images(client: "Client", source: str, name: str, settings: dict[str, Any], output: Output) -> ImageSet:
    """Upload ``source`` where it is a path, and return the image set that it is packed into."""
    if any(known["name"] == name for known in client.image_sets.list()):
        raise ClientError(f"there is an image set {name} already; choose another name with --name")
    source = _uploaded(client, source, output)
    job = client.image_sets.add(source, name, **settings)
    output.note(f"job {job['id']}")
    job = follow(client, job, f"offhand images show {name}", output)
    return client.image_sets.get(job["result"]["image_set"])


def preview_images(client: "Client", source: str, size: tuple[int, int], to: Path, output: Output) -> None:
    """Save a picture of examples under each rule; of a folder some photographs are sent."""
    if Path(source).exists():
        source = client.uploads.create_examples(source)["id"]
    elif not source.startswith("upl_"):
        raise ClientError(f"{source}: no such file or folder")
    job = client.image_sets.preview(source, height=size[0], width=size[1])
    job = follow(client, job, f"offhand images add {source} --preview {to}", output)
    _write(to, client.image_sets.preview_picture(job["id"]))
    output.result(
        {"job": job["id"], "file": str(to)}, f"examples under crop, pad and stretch: {to}; choose one with --fit"
    )


def show_image_set(client: "Client", found: ImageSet, sheet: Path | None, output: Output) -> None:
    """Print an image set with the beginning of its report; save its contact sheet where asked."""
    report = client.image_sets.report(found["id"])
    if sheet is not None:
        _write(sheet, client.image_sets.contact_sheet(found["id"]))
    output.result(dict(found) | {"details": report}, image_set_text(found, report, sheet))


def image_set_text(found: ImageSet, report: dict[str, Any], sheet: Path | None) -> str:
    """Return an image set in lines."""
    size = f"{found['height']}×{found['width']} (height × width)"
    lines = [
        f"{found['name']}  {found['images']:,} images, {size}  {found['id']}",
        f"  held out    {found['held_out']:,}",
        f"  colour      {'grey' if found['channels'] == 1 else 'colour'}",
        f"  fit         {found['fit']}",
        f"  flips       {'on' if found['flips'] else 'off'}: {found['flips_reason']}",
        f"  licence     {first_line(found['licence']) or 'not given'}",
        f"  classes     {_counted(found['classes'])}",
    ]
    lines += [f"  warning     {text}" for text in found["warnings"]]
    listed = [f"{one['file']}: {one['reason']}" for one in report["unreadable"]]
    lines += _some("unreadable", listed)
    lines += _some("copies", [f"{one['image']} of {one['of']}" for one in report["copies"]])
    if sheet is not None:
        lines.append(f"  sheet       {sheet}")
    return "\n".join(lines)


def size_of(resolution: str) -> tuple[int, int]:
    """Return (height, width) of ``64`` or ``96x64``."""
    match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", resolution)
    if match is None:
        raise typer.BadParameter(f"expected 64 or HEIGHTxWIDTH, found {resolution!r}", param_hint="--resolution")
    height = int(match.group(1))
    return height, int(match.group(2) or height)


def name_of(source: str) -> str:
    """Return a name that the service accepts, from that of a folder or file."""
    last = Path(source).resolve().name.lower() if not source.startswith("upl_") else ""
    stem = re.sub(r"\.(zip|tar|tgz|tar\.gz|parquet)$", "", last)
    name = re.sub(r"[^a-z0-9.]+", "-", stem).strip("-.")[:63]
    if not name:
        raise ClientError("choose a name for the image set: --name NAME")
    return name


def first_line(text: str) -> str:
    """Return the first line of a text, shortened to fit a table."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 60 else line[:59] + "…"


def _uploaded(client: "Client", source: str, output: Output) -> str:
    if Path(source).exists():
        with ByteProgress(output, f"uploading {Path(source).name}") as on_bytes:
            return client.uploads.create_images(source, on_bytes)["id"]
    if not source.startswith("upl_"):
        raise ClientError(f"{source}: no such file or folder")
    return source


def _counted(classes: dict[str, int]) -> str:
    if not classes:
        return "none"
    shown = [f"{name} {count:,}" for name, count in list(classes.items())[:_LISTED]]
    return ", ".join(shown) + (f" and {len(classes) - _LISTED} more" if len(classes) > _LISTED else "")


def _some(title: str, lines: list[str]) -> list[str]:
    shown = [f"  {title:<11} {line}" for line in lines[:_LISTED]]
    return shown + ([f"  {title:<11} and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else [])


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error}") from error
