"""`offhand label-sets`: list label sets, show one, its picture and its notes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.documents import Document, LabelSet
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_label_sets(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.label_sets.list())
    rows = [
        [
            one["id"],
            one["name"] or "",
            str(one["info"]["images"]),
            str(len(one["info"]["classes"])),
            one["info"]["detected_format"],
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["LABEL SET", "NAME", "IMAGES", "CLASSES", "FORMAT", "CREATED"]
    output.result(found, table(columns, rows) if found else "no label sets; `offhand generate` makes one of its labels")


group = listing_group("Label sets: labelled images that were read and checked.", "List label sets.", list_label_sets)


LabelSetId = Annotated[str, typer.Argument(help="Its id (ls_…).")]


@group.command("show")
def show(label_set: LabelSetId, url: Url = None, as_json: Json = False) -> None:
    """Show a label set's classes and notes."""
    with ending(as_json) as output, connect(url) as client:
        found = client.label_sets.get(label_set)
        output.result(found, label_set_text(found))


@group.command("preview")
def preview(
    label_set: LabelSetId,
    out: Annotated[Path, typer.Option(help="PNG file for the first labels over their images.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Save a picture of the first labels over their images."""
    with ending(as_json) as output, connect(url) as client:
        picture = client.label_sets.preview(label_set)
        try:
            out.write_bytes(picture)
        except OSError as error:
            raise ClientError(f"cannot write {out}: {error.strerror}") from error
        output.result({"label_set": label_set, "file": str(out)}, f"{out}")


@group.command("notes")
def notes(label_set: LabelSetId, url: Url = None, as_json: Json = False) -> None:
    """Print what the service noted when it read the labels."""
    with ending(as_json) as output, connect(url) as client:
        found = client.label_sets.get(label_set)["info"]["notes"]
        output.result(found, "\n".join(map(note_text, found)) or "no notes")


def label_set_text(label_set: LabelSet) -> str:
    """Return a label set's facts, classes and notes, in lines."""
    info = label_set["info"]
    name = f"  {label_set['name']}" if label_set["name"] else ""
    lines = [f"{label_set['id']}{name}: {info['images']} images, read as {info['detected_format']}"]
    for one in info["classes"]:
        share = info["shares"].get(str(one["id"]), {"images": 0, "pixels": 0.0})
        lines.append(f"  {one['id']:>3} {one['name']:20} {share['images']} images, {share['pixels']:.1%} of the pixels")
    lines += [f"  note  {note_text(note)}" for note in info["notes"]]
    return "\n".join(lines)


def note_text(note: Document) -> str:
    """Return a note with the file that it is about."""
    return " ".join(filter(None, (note.get("pointer"), note["text"])))
