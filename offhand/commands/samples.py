"""`offhand samples`: images of a generator for people to label."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.generate import follow
from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_samples(client: "Client", output: Output) -> None:
    """Newest first."""
    found = list(client.sample_sets())
    rows = [
        [one["id"], one["request"]["generator"], str(one["request"]["count"]), one["state"], one["created_at"][:19]]
        for one in found
    ]
    columns = ["SAMPLES", "GENERATOR", "IMAGES", "STATE", "CREATED"]
    output.result(found, table(columns, rows) if found else "no samples; draw some with: offhand samples draw")


def draw_samples(
    client: "Client", generator: str, count: int, settings: dict[str, Any], out: Path, output: Output
) -> None:
    """Draw, wait, and lay the images out in the new folder ``out``, ready for masks beside them."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ClientError(f"{out} is there already: name a new folder")
    job = client.draw_samples(generator, count, **settings)
    output.note(f"job {job['id']}")
    samples = job["result"]["samples"]
    follow(client, job, f"offhand samples fetch {samples} --out {out}", output)
    fetch_samples(client, samples, out, output)


def _refuse_other_files(archive: zipfile.ZipFile, out: Path) -> None:
    """Raise where a file of the archive is in the folder already with another content, a label for example."""
    others = [
        one.filename
        for one in archive.infolist()
        if (out / one.filename).is_file() and (out / one.filename).read_bytes() != archive.read(one)
    ]
    if others:
        raise ClientError(f"{out} holds other files of these names; choose a new folder", others)


def fetch_samples(client: "Client", samples: str, out: Path, output: Output) -> None:
    """Lay the images out in the folder ``out``. Files that are there and differ are never replaced."""
    content = client.sample_archive(samples)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_other_files(archive, out)
            archive.extractall(out)
        images = len(list((out / "images").iterdir()))
    except OSError as error:
        raise ClientError(f"cannot write {out}: {error}") from error
    words = f"{images} images of {samples} in {out}; {out / 'LABELING.txt'} says how to go on"
    output.result({"samples": samples, "folder": str(out), "images": images}, words)
