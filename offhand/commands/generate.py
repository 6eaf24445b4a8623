"""`offhand generate`: one job from labels to a verified folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.delivery import report_dataset
from offhand.commands.jobs import follow
from offhand.commands.uploads import uploaded
from offhand.documents import Estimate, Job, LabelSet
from offhand.errors import ClientError
from offhand.terminal.options import Json, Name, Preset, Sampling, Url, connect, preset_field, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress, JobProgress, duration

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def generate(
    labels: Annotated[
        str, typer.Argument(help="Archive or folder of labelled images, or the id of an earlier upload.")
    ],
    generator: Annotated[str, typer.Option(help="Name or id; see `offhand generators`.")],
    count: Annotated[int, typer.Option(help="Images after filtering.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the dataset; without it the job only starts.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same dataset. Default: random, recorded.")] = None,
    truncation_psi: Annotated[float | None, typer.Option(help="0 to 1; lower is safer. [the generator's]")] = None,
    drop_fraction: Annotated[float | None, typer.Option(help="Most uncertain fraction to drop. [0.1]")] = None,
    preset: Preset = None,
    samples: Annotated[str | None, typer.Option(help="The images are these drawn samples (smp_…).")] = None,
    setting: Sampling = None,
    name: Name = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. labeler.members=5"),
    ] = None,
    force: Annotated[bool, typer.Option(help="Go on where the generator cannot redraw the labelled images.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace files in --out.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Check the request and print the estimate; start nothing.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Turn labelled images into a labelled dataset and download it."""
    with ending(as_json) as output, connect(url) as client:
        settings = request_settings(
            fields,
            {
                "name": name,
                "seed": seed,
                "truncation_psi": truncation_psi,
                "drop_fraction": drop_fraction,
                preset_field(preset): preset,
                "samples": samples,
                "force": True if force else None,
            },
            setting,
        )
        if dry_run:
            rehearse_dataset(client, labels, generator, count, settings, output)
        else:
            generate_dataset(client, labels, generator, count, settings, out, output, overwrite=overwrite)


def generate_dataset(
    client: "Client",
    labels: str,
    generator: str,
    count: int,
    settings: dict[str, Any],
    out: Path | None,
    output: Output,
    *,
    overwrite: bool = False,
) -> None:
    """Upload, start, follow, download, verify; print where to look, and last what speaks against the dataset.

    ``out`` is held from the beginning: a folder that cannot be used is refused before anything is uploaded or started.
    ``overwrite``: files in it may be replaced.
    """
    from offhand.sdk.downloads import fetch_dataset
    from offhand.sdk.folders import held_folder

    if out is None:
        job = _start(client, labels, generator, count, settings, output)
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    with held_folder(out, None, overwrite=overwrite) as folder:
        job = _start(client, labels, generator, count, settings, output)
        fetching = f"offhand download {job['id']} --out {out}"
        folder.belongs_to(job["result"]["dataset"])
        job = follow(client, job, fetching, output)
        try:
            with ByteProgress(output, "downloading") as on_bytes:
                fetch_dataset(client.connection, job["result"]["dataset"], folder, on_bytes)
        except ClientError as error:
            error.lines.append(f"the dataset is finished; fetch it with: {fetching}")
            raise
    report_dataset(client, client.datasets.get(job["result"]["dataset"]), job, out, output)


def rehearse_dataset(
    client: "Client", labels: str, generator: str, count: int, settings: dict[str, Any], output: Output
) -> None:
    """Upload the labels where they are a path, have them read and checked, and print every problem of the request and
    of the labels, or what it would make. No dataset is started.
    """
    source = uploaded(client, labels, output, check=lambda: client.datasets.check_request(generator, count, **settings))
    client.datasets.estimate(source, generator, count, **settings)
    check = client.label_sets.check(source, generator, **settings)
    try:
        with JobProgress(output) as show:
            check = client.jobs.wait(check["id"], show)
    except KeyboardInterrupt:
        client.jobs.cancel(check["id"])
        raise
    label_set = client.label_sets.get(check["result"]["label_set"])
    estimate = client.datasets.estimate(label_set["id"], generator, count, **settings)
    output.result({**estimate, "label_set": label_set}, estimate_text(estimate, label_set))


def estimate_text(estimate: Estimate, label_set: LabelSet) -> str:
    """Return a dry run's answer in lines."""
    info = label_set["info"]
    lines = [
        "the request is valid; no dataset was started",
        f"  labels   {info['images']} images, {len(info['classes'])} classes, read as {info['detected_format']} "
        f"({label_set['id']})",
        *(f"  note     {' '.join(filter(None, (note.get('pointer'), note['text'])))}" for note in info["notes"]),
        f"  images   {estimate['candidates']} drawn, {estimate['count']} delivered, about {estimate['bytes']:,} bytes",
    ]
    seconds = estimate["seconds"]
    if seconds is None:
        time = "not known: no job with this generator was measured"
    else:
        time = f"about {duration(seconds)}"
        if estimate["rough"]:
            time += " on two processor cores; no job with this generator was measured on this service yet"
    lines.append(f"  time     {time}")
    if estimate["queued_jobs"]:
        lines.append(f"  queue    {estimate['queued_jobs']} jobs wait already")
    return "\n".join(lines)


def _start(client: "Client", labels: str, generator: str, count: int, settings: dict[str, Any], output: Output) -> Job:
    """Upload the labels where they are a path, and start the job; return it."""
    source = uploaded(client, labels, output, check=lambda: client.datasets.check_request(generator, count, **settings))
    job = client.datasets.generate(source, generator, count, **settings)
    output.note(f"job {job['id']}  (seed {job['seed']})")
    return job
