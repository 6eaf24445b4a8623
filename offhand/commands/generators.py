"""`offhand generators`: list them, import checkpoints as new ones, train them, save a picture of samples."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from offhand.commands.jobs import follow
from offhand.commands.train_generator import train, training_lines
from offhand.documents import Document, Generator
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_generators(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.generators.list())
    rows = [
        [g["name"], f"{g['height']}×{g['width']}", g["state"], str(g["domain"] or ""), g["licence"], g["digest"][:12]]
        for g in found
    ]
    columns = ["NAME", "HEIGHT×WIDTH", "STATE", "DOMAIN", "LICENCE", "DIGEST"]
    output.result(found, table(columns, rows) if found else "no generators: none is installed")


group = listing_group(
    "Generators: list, train, import, preview, delete.",
    "List generators.",
    list_generators,
)

group.command("train")(train)


@group.command("add")
def add(
    source: Annotated[
        str,
        typer.Argument(help="Checkpoint: file or folder, an https URL, a name of the catalogue, or an upload's id."),
    ],
    name: Annotated[str | None, typer.Option(help="Its name. [from the source]")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the checkpoint; files do not contain it.")] = None,
    domain: Annotated[str | None, typer.Option(help="What it draws, in a few words.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. answers.conv_clamp=256"),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", help="A fact that the checkpoint does not contain: NAME=VALUE, e.g. norm_eps=1e-4"),
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="Save a picture of samples here.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Import a checkpoint, a file or a folder, of another project or our own. Nothing in it is executed."""
    with ending(as_json) as output, connect(url) as client:
        pairs = [*(setting or []), *(f"answers.{one}" for one in answer or [])]
        settings = request_settings(pairs, {"licence": licence, "domain": domain})
        add_generator(client, source, name, settings, preview, output)


@group.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    perceptual: Annotated[bool, typer.Option(help="Train a perceptual network of its domain.")] = True,
    encoder: Annotated[bool, typer.Option(help="Train an encoder.")] = True,
    images: Annotated[
        str | None, typer.Option(help="Image set of its domain, to learn from beside its own samples.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. encoder_steps=3000"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and print its result.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train a perceptual network and an encoder for a generator; both become its defaults."""
    with ending(as_json) as output, connect(url) as client:
        settings = request_settings(setting or [], {"perceptual": perceptual, "encoder": encoder, "images": images})
        job = client.generators.prepare(name, **settings)
        output.note(f"job {job['id']}")
        if not wait:
            output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
            return
        follow(client, job, "offhand generators", output)
        generator = client.generators.get(name)
        output.result(generator, prepared_text(generator))


@group.command("assess")
def assess(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    images: Annotated[
        str, typer.Option(help="Image set whose held-out images samples are compared with; see `offhand images`.")
    ],
    count: Annotated[int | None, typer.Option(help="Samples that are drawn. [2000]")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file for the samples.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. features='[\"inception\"]'"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and print its result.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Compare a generator's samples with held-out images (FID, KID, precision, recall, density, coverage, classes), and
    check whether they repeat training images.
    """
    with ending(as_json) as output, connect(url) as client:
        job = client.generators.assess(name, images, **request_settings(setting, {"count": count}))
        output.note(f"job {job['id']}")
        if not wait:
            output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
            return
        follow(client, job, f"offhand generators report {name}", output)
        report_generator(client, name, out, picture, output)


@group.command("report")
def report(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file for the samples.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show the newest quality report of a generator; `offhand generators assess` makes one."""
    with ending(as_json) as output, connect(url) as client:
        report_generator(client, name, out, picture, output)


@group.command("preview")
def preview(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    to: Annotated[Path | None, typer.Option("--out", help="PNG file. [NAME.png]")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Save a picture of an imported generator's samples."""
    with ending(as_json) as output, connect(url) as client:
        generator = client.generators.get(name)
        if not generator["preview"]:
            raise ClientError(f"{generator['name']} comes with the service and has no preview here")
        path = to or Path(f"{generator['name']}.png")
        _save_preview(client, generator["id"], path)
        output.result({"generator": generator["id"], "file": str(path)}, f"samples: {path}")


@group.command("show")
def show(name: Annotated[str, typer.Argument(help="Name or id.")], url: Url = None, as_json: Json = False) -> None:
    """Show what a generator draws, and its sampling settings with their ranges and defaults."""
    with ending(as_json) as output, connect(url) as client:
        generator = client.generators.get(name)
        output.result(generator, generator_text(generator))


@group.command("rm")
def remove(name: Annotated[str, typer.Argument(help="Name or id.")], url: Url = None, as_json: Json = False) -> None:
    """Delete an imported generator. Labelers and datasets that were made with it stay."""
    with ending(as_json) as output, connect(url) as client:
        client.generators.delete(name)
        output.result({"deleted": name}, f"{name} is deleted")


@group.command("catalogue")
def catalogue(url: Url = None, as_json: Json = False) -> None:
    """List public checkpoints that can be added by name."""
    with ending(as_json) as output, connect(url) as client:
        found = list(client.generators.catalogue())
        rows = [
            [
                entry["name"],
                "×".join(map(str, entry["resolution"])),
                entry["domain"],
                "yes" if entry["verified"] else "no",
                entry["licence"],
            ]
            for entry in found
        ]
        output.result(found, table(["NAME", "HEIGHT×WIDTH", "DOMAIN", "VERIFIED", "LICENCE"], rows))


def add_generator(
    client: "Client", source: str, name: str | None, settings: dict[str, Any], preview: Path | None, output: Output
) -> None:
    """Upload a file where ``source`` is one, import it, print what was found in it."""
    name = name or name_of(source)
    if any(known["name"] == name for known in client.generators.list()):
        raise ClientError(f"there is a generator {name} already; choose another name with --name")
    if Path(source).exists():
        with ByteProgress(output, f"uploading {Path(source).name}") as on_bytes:
            source = client.uploads.create_checkpoint(source, on_bytes)["id"]
    elif looks_like_a_file(source):
        raise ClientError(f"{source}: no such file")
    job = client.generators.add(source, name, **settings)
    output.note(f"job {job['id']}")
    job = follow(client, job, "offhand generators", output)
    generator = client.generators.get(job["result"]["generator"])
    if preview is not None:
        _save_preview(client, generator["id"], preview)
    output.result(generator, import_text(generator, preview))


def prepared_text(generator: Generator) -> str:
    """Return what was trained for a generator, in lines."""
    lines = [f"{generator['name']} is prepared for labelled images"]
    for part, facts in generator["prepared"].items():
        about = ", ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int))
        lines.append(f"  {part:<11} {about}")
    return "\n".join(lines)


def report_generator(client: "Client", name: str, page: Path | None, picture: Path | None, output: Output) -> None:
    """Print the quality report of a generator, and save the page and the picture of samples."""
    found = client.generators.report(name)
    lines = report_lines(found)
    files: dict[Literal["html", "png"], Path | None] = {"html": page, "png": picture}
    for kind, path in files.items():
        if path is not None:
            try:
                path.write_bytes(client.generators.report_file(name, kind))
            except OSError as error:
                raise ClientError(f"cannot write {path}: {error}") from error
            lines.append(f"  {kind:5} {path}")
    output.result(found, "\n".join(lines))


def report_lines(report: Document) -> list[str]:
    """Return a quality report in lines: values of samples, and those of training images for comparison."""
    lines = [f"{report['generator']['name']} against image set {report['images']['name']}", report["headline"], ""]
    measures = ("fid", "kid", "precision", "recall", "density", "coverage")
    rows = [
        [one["spec"]["extractor"], name, str(one["spec"]["generated"]), *(_digits(one[each]) for each in measures)]
        for pair in zip(report["scores"], report["training_scores"], strict=True)
        for name, one in zip(("samples", "training images"), pair, strict=True)
    ]
    lines.append(table(["FEATURES", "COMPARED", "IMAGES", *(name.upper() for name in measures)], rows))
    lines += [
        f"  {row['name']}: FID {_digits(row['fid'])} ({row['real']} held-out images, {row['generated']} samples)"
        for row in report["scores"][0]["by_class"]
    ]
    notes = [*report["notes"], *(note for one in report["scores"] for note in one["notes"])]
    return lines + [f"  note  {words}" for words in dict.fromkeys(notes)]


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _save_preview(client: "Client", name_or_id: str, path: Path) -> None:
    try:
        path.write_bytes(client.generators.preview(name_or_id))
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error}") from error


def looks_like_a_file(source: str) -> bool:
    """Whether ``source`` is a path, rather than a URL, an upload's id or a name of the catalogue."""
    return "://" not in source and (
        Path(source.removesuffix(".gz")).suffix in (".pkl", ".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".zip")
        or "/" in source
        or "\\" in source
    )


def name_of(source: str) -> str:
    """Return a name that the service accepts, from a file's, a URL's or the catalogue's."""
    last = source.rstrip("/").partition("?")[0].replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"\.(pkl|pt|pth|bin|ckpt|safetensors|zip)(\.gz)?$", "", last.lower())
    name = re.sub(r"[^a-z0-9.]+", "-", stem).strip("-.")[:63]
    if not name or source.startswith("upl_"):
        raise ClientError("choose a name for the generator: --name NAME")
    return name


def generator_text(generator: Generator) -> str:
    """Return a generator's facts and sampling settings, in lines."""
    lines = [
        f"{generator['name']}  {generator['height']}×{generator['width']} (height × width)  {generator['id']}",
        f"  family      {generator['family']}",
        f"  draws       {generator['domain'] or 'not stated'}",
        f"  classes     {', '.join(generator['classes'] or []) or 'none'}",
        f"  codes from  {', '.join(generator['labelled_by'])}",
        f"  licence     {generator['licence'] or 'not given; ask its maker before use'}",
    ]
    lines += training_lines(generator["training"])
    rules = generator["settings_schema"].get("properties", {})
    rows = [[name, _values(rule), json.dumps(rule.get("default"))] for name, rule in rules.items()]
    return "\n".join([*lines, "", table(["SETTING", "VALUES", "DEFAULT"], rows)] if rows else lines)


def _values(rule: Document) -> str:
    """Return the values that the JSON Schema of one setting allows, in words."""
    if "enum" in rule:
        return " or ".join(json.dumps(value) for value in rule["enum"])
    kinds = rule.get("type", [])
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([words, *(f"{sign} {rule[name]}" for name, sign in bounds.items() if name in rule)])


def import_text(generator: Generator, preview: Path | None) -> str:
    """Return what was found in an imported file, in lines."""
    report: Document = generator["report"] or {}
    kind = report.get("architecture") or report.get("family", "")
    lines = [
        f"{generator['name']}  {generator['height']}×{generator['width']} (height × width)  {generator['id']}",
        f"  read as     {report['format']} {report['network']}".rstrip() + f", {kind}",
        f"  parameters  {report['parameters']:,}",
        f"  classes     {report['classes'] or 'none'}",
        f"  licence     {generator['licence'] or 'not given; ask its maker before use'}",
    ]
    lines += [f"  {name:11} {found}" for name, found in report.get("findings", {}).items()]
    lines += [f"  note        {note}" for note in report["notes"]]
    if preview is not None:
        lines.append(f"  preview     {preview}")
    return "\n".join(lines)
