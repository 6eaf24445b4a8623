"""`offhand encoders`: list encoders, train one, show its reconstruction quality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.jobs import follow
from offhand.commands.uploads import uploaded
from offhand.documents import Document, Encoder
from offhand.errors import ClientError
from offhand.terminal.options import Json, Name, Url, connect, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client

#: Sets of images in a report, in words.
_IMAGES = {
    "samples": "the generator's own samples",
    "labels_held_out": "labelled images it never saw",
    "labels_learnt": "labelled images it learnt from",
}

group = typer.Typer(help="Encoders: networks that predict codes, for faster and better inversion.")

Picture = Annotated[Path | None, typer.Option(help="PNG file for images beside their reconstructions.")]


@group.callback(invoke_without_command=True)
def list_alone(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
    """List encoders, or do more with them."""
    if context.invoked_subcommand is None:
        ls(url=url, as_json=as_json)


@group.command("ls")
def ls(
    generator: Annotated[str | None, typer.Option(help="Only encoders of this generator (name or id).")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the encoders."""
    with ending(as_json) as output, connect(url) as client:
        list_encoders(client, generator, output)


@group.command("train")
def train(
    generator: Annotated[str, typer.Argument(help="Name or id; see `offhand generators`.")],
    labels: Annotated[
        str | None, typer.Option(help="Labelled images to learn from: archive, folder or id of an earlier upload.")
    ] = None,
    train_on: Annotated[
        str | None, typer.Option(help="samples, labels or both. [both with --labels, else samples]")
    ] = None,
    heads: Annotated[str | None, typer.Option(help="e4e or psp. [e4e]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    name: Name = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. align.by=boxes")
    ] = None,
    picture: Picture = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and print its result.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train an encoder for a generator; equal ones are trained once."""
    with ending(as_json) as output, connect(url) as client:
        train_on = train_on or ("samples" if labels is None else "both")
        settings = request_settings(setting, {"train_on": train_on, "heads": heads, "steps": steps, "name": name})
        train_encoder(client, generator, labels, settings, picture, wait, output)


@group.command("import")
def import_encoder(
    source: Annotated[str, typer.Argument(help="Encoder of ReStyle, pSp or e4e: a file, an https URL or an upload.")],
    generator: Annotated[str, typer.Option(help="Generator that it was trained for: name or id.")],
    heads: Annotated[
        str | None, typer.Option(help="psp or e4e, where the file does not state its type. [from the file]")
    ] = None,
    picture: Picture = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Import a published encoder for its generator. Nothing in the file is executed."""
    with ending(as_json) as output, connect(url) as client:
        client.generators.get(generator)  # refuses a wrong name before anything is uploaded
        if Path(source).is_file():
            with ByteProgress(output, f"uploading {Path(source).name}") as on_bytes:
                source = client.uploads.create_checkpoint(source, on_bytes)["id"]
        elif "://" not in source and not source.startswith("upl_"):
            raise ClientError(f"{source}: no such file")
        job = client.encoders.add(source, generator, heads=heads)
        output.note(f"job {job['id']}")
        job = follow(client, job, "offhand encoders", output)
        show_encoder(client, job["result"]["encoder"], picture, output)


@group.command("show")
def show(
    encoder: Annotated[str, typer.Argument(help="Its id (enc_…), or that of its job.")],
    picture: Picture = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show an encoder's reconstruction quality after each iteration."""
    with ending(as_json) as output, connect(url) as client:
        show_encoder(client, encoder, picture, output)


def train_encoder(
    client: "Client",
    generator: str,
    labels: str | None,
    settings: dict[str, Any],
    picture: Path | None,
    wait: bool,
    output: Output,
) -> None:
    """Upload the labels if there are any, start the job, and with ``wait`` follow it and print the encoder's report."""
    client.generators.get(generator)  # refuses a wrong name before anything is uploaded
    if labels is not None:
        labels = uploaded(client, labels, output)
    job = client.encoders.train(generator, labels, **settings)
    output.note(f"job {job['id']}")
    if not wait:
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    if job["state"] != "succeeded":
        job = follow(client, job, f"offhand encoders show {job['id']}", output)
    show_encoder(client, job["result"]["encoder"], picture, output)


def list_encoders(client: "Client", generator: str | None, output: Output) -> None:
    """Print a table, newest first; ``generator``: only those trained for it, by name or id."""
    names = {one["id"]: one["name"] for one in client.generators.list()}
    found = [
        one for one in client.encoders.list() if generator in (None, one["generator"], names.get(one["generator"]))
    ]
    rows = [
        [
            one["id"],
            one["name"] or "",
            names.get(one["generator"], one["generator"]),
            one["report"]["train_on"],
            one["report"]["heads"],
            str(one["report"]["steps"]),
            f"{one['report']['by_iteration']['samples'][-1]['psnr']:.1f} dB",
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["ENCODER", "NAME", "GENERATOR", "TRAINED ON", "HEADS", "STEPS", "SAMPLES", "CREATED"]
    output.result(found, table(columns, rows) if found else "no encoders; train one with: offhand encoders train")


def show_encoder(client: "Client", wanted: str, picture: Path | None, output: Output) -> None:
    """``wanted`` is an encoder's id or its job's. ``picture``: a PNG file for images beside their reconstructions."""
    encoder = client.encoders.get(_encoder_id(client, wanted))
    if picture is not None:
        try:
            picture.write_bytes(client.encoders.picture(encoder["id"]))
        except OSError as error:
            raise ClientError(f"cannot write {picture}: {error}") from error
    output.result(encoder, encoder_text(encoder, picture))


def encoder_text(encoder: Encoder, picture: Path | None) -> str:
    """Return an encoder's report in lines."""
    report = encoder["report"]
    lines = [
        f"{encoder['id']}  {report['heads']}, {origin_text(report)}",
        f"  use it with   --set inversion.encoder={encoder['id']}",
    ]
    for name, entries in report["by_iteration"].items():
        lines.append(f"  {_IMAGES[name]} ({report['images'][name]}), after each iteration")
        lines.append("    PSNR        " + " ".join(f"{entry['psnr']:6.1f}" for entry in entries) + "  dB")
        perceptual = " ".join(f"{entry['perceptual']:6.3f}" for entry in entries)
        lines.append(f"    perceptual  {perceptual}  {report['perceptual_name']}")
    lines += [f"  note          {note}" for note in report.get("imported", {}).get("notes", [])]
    if picture is not None:
        lines.append(f"  picture       {picture}")
    return "\n".join(lines)


def origin_text(report: Document) -> str:
    """Return how an encoder was made, in words."""
    if imported := report.get("imported"):
        kind = imported["encoder_type"] or imported["backbone"]
        return f"imported, {kind}, {imported['iterations']} passes, {imported['parameters']:,} parameters"
    return f"trained on {report['train_on']} for {report['steps']} steps"


def _encoder_id(client: "Client", wanted: str) -> str:
    if not wanted.startswith("job_"):
        return wanted
    job = client.jobs.get(wanted)
    encoder = job["result"].get("encoder")
    if not encoder:
        raise ClientError(f"{wanted} is {job['state']} and has made no encoder")
    return str(encoder)
