"""`offhand generators add` and `preview`: a checkpoint made elsewhere becomes a generator, and shows what it draws."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.generate import follow
from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output
from offhand.terminal.progress import ByteProgress

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def add_generator(
    client: "Client", source: str, name: str | None, settings: dict[str, Any], preview: Path | None, output: Output
) -> None:
    """Upload a file where ``source`` is one, import it, tell what was found."""
    name = name or name_of(source)
    if any(known["name"] == name for known in client.generators()):
        raise ClientError(f"there is a generator {name} already; choose another name with --name")
    if Path(source).is_file():
        with ByteProgress(output, f"uploading {Path(source).name}") as on_bytes:
            source = str(client.upload_checkpoint(source, on_bytes)["id"])
    elif looks_like_a_file(source):
        raise ClientError(f"{source}: no such file")
    job = client.import_generator(source, name, **settings)
    output.note(f"job {job['id']}")
    job = follow(client, job, "offhand generators", output)
    generator = client.generator(job["result"]["generator"])
    if preview is not None:
        client.download_preview(generator["id"], preview)
    output.result(generator, told(generator, preview))


def save_preview(client: "Client", name: str, to: Path | None, output: Output) -> None:
    """The picture of an imported generator's samples, as a file."""
    generator = client.generator(name)
    if not generator.get("preview"):
        raise ClientError(f"{generator['name']} comes with the service and has no preview here")
    path = client.download_preview(generator["id"], to or Path(f"{generator['name']}.png"))
    output.result({"generator": generator["id"], "file": str(path)}, f"samples at three truncations: {path}")


def list_catalogue(client: "Client", output: Output) -> None:
    """Public checkpoints that can be added by name."""
    found = client.catalogue()
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


def looks_like_a_file(source: str) -> bool:
    """A path, rather than a URL, an upload's id or a name of the catalogue."""
    return "://" not in source and (
        Path(source.removesuffix(".gz")).suffix in (".pkl", ".pt", ".pth", ".safetensors")
        or "/" in source
        or "\\" in source
    )


def name_of(source: str) -> str:
    """A name that the service accepts, from a file's, a URL's or the catalogue's."""
    last = source.rstrip("/").partition("?")[0].replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"\.(pkl|pt|pth|safetensors)(\.gz)?$", "", last.lower())
    name = re.sub(r"[^a-z0-9.]+", "-", stem).strip("-.")[:63]
    if not name or source.startswith("upl_"):
        raise ClientError("say what the generator will be called: --name NAME")
    return name


def told(generator: dict[str, Any], preview: Path | None) -> str:
    """What was found in the file, in lines."""
    report = generator["report"]
    kind = report.get("architecture") or report.get("family", "")
    lines = [
        f"{generator['name']}  {generator['height']}×{generator['width']} (height × width)  {generator['id']}",
        f"  read as     {report['format']} {report['network']}".rstrip() + f", {kind}",
        f"  parameters  {report['parameters']:,}",
        f"  classes     {report['classes'] or 'none'}",
        f"  licence     {generator['licence'] or 'not said; ask its maker before use'}",
    ]
    if mean_code := report.get("w_avg"):
        parity = report.get("w_avg_distance")
        found = f", {parity:.3f} spreads from where it should be" if parity else ""
        lines.append(f"  mean code   {mean_code}{found}")
    lines += [f"  note        {note}" for note in report["notes"]]
    if preview is not None:
        lines.append(f"  preview     {preview}")
    return "\n".join(lines)
