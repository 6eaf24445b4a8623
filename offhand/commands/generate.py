"""`offhand generate` and `offhand download`: one job from labels to a verified folder."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.quality import quality_lines, quality_of
from offhand.errors import ClientError
from offhand.sdk.downloads import CONTACT_SHEET, Variant, fetch_dataset, variant_of, variant_options
from offhand.sdk.folders import held_folder, refuse_unwritable_file
from offhand.terminal.output import Output
from offhand.terminal.progress import ByteProgress, JobProgress, duration

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def request_settings(pairs: list[str], named: dict[str, Any]) -> dict[str, Any]:
    """``["labeler.members=5"]`` and named options → the nested fields of the request; None means "not given"."""
    settings: dict[str, Any] = {}
    given = {name: value for name, value in named.items() if value is not None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ClientError(f"--set {pair}: write NAME=VALUE")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text  # a bare word is a string
    for name, value in given.items():
        *parents, leaf = name.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ClientError(f"--set {name}: {parent} has a value already")
        place[leaf] = value
    return settings


def generate_dataset(
    client: "Client",
    labels: str,
    generator: str,
    count: int,
    settings: dict[str, Any],
    out: Path | None,
    output: Output,
    *,
    replace: bool = False,
) -> None:
    """Upload, start, follow, download, verify; print where to look, and last what speaks against the dataset.

    ``out`` is held from the beginning: a folder that cannot be used is refused before anything is uploaded or started.
    ``replace``: files in it may be replaced.
    """
    if out is None:
        job = start(client, labels, generator, count, settings, output)
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    with held_folder(out, None, force=replace) as folder:
        job = start(client, labels, generator, count, settings, output)
        fetching = f"offhand download {job['id']} --out {out}"
        folder.belongs_to(job["result"]["dataset"])
        job = follow(client, job, fetching, output)
        try:
            with ByteProgress(output, "downloading") as on_bytes:
                fetch_dataset(client, job["result"]["dataset"], folder, on_bytes)
        except ClientError as error:
            error.lines.append(f"the dataset is finished; fetch it with: {fetching}")
            raise
    report_dataset(client, client.dataset(job["result"]["dataset"]), job, out, output)


def rehearse_dataset(
    client: "Client", labels: str, generator: str, count: int, settings: dict[str, Any], output: Output
) -> None:
    """Upload the labels where they are a path, have them read and checked, and print every problem of the request and
    of the labels, or what it would make. No dataset is started.
    """
    wish = {"kind": "generate", "generator": generator, "count": count, **settings}
    source = uploaded(client, labels, output, check=lambda: client.refuse_before_upload(wish))
    client.generate(source, generator, count, validate_only=True, **settings)
    check = client.check_labels(source, generator, **settings)
    try:
        with JobProgress(output) as show:
            check = client.wait(check["id"], show)
    except KeyboardInterrupt:
        client.cancel(check["id"])
        raise
    label_set = client.label_set(check["result"]["label_set"])
    estimate = client.generate(label_set["id"], generator, count, validate_only=True, **settings)
    output.result({**estimate, "label_set": label_set}, estimate_text(estimate, label_set))


def estimate_text(estimate: dict[str, Any], label_set: dict[str, Any]) -> str:
    """A dry run's answer in lines."""
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


def start(
    client: "Client", labels: str, generator: str, count: int, settings: dict[str, Any], output: Output
) -> dict[str, Any]:
    """Upload the labels where they are a path, and start the job; returns it."""
    wish = {"kind": "generate", "generator": generator, "count": count, **settings}
    source = uploaded(client, labels, output, check=lambda: client.refuse_before_upload(wish))
    job = client.generate(source, generator, count, **settings)
    output.note(f"job {job['id']}  (seed {job['seed']})")
    return job


def uploaded(client: "Client", labels: str, output: Output, check: Callable[[], None] = lambda: None) -> str:
    """The id of the labels, uploaded with progress where they are a path; ``check`` raises what forbids that."""
    from offhand.sdk.client import is_id

    if is_id(labels):
        return labels
    path = Path(labels)
    if not path.exists():
        raise ClientError(f"{labels}: no such file or folder")
    check()
    with ByteProgress(output, f"uploading {path.name}") as on_bytes:
        return str(client.upload(path, on_bytes)["id"])


def follow(client: "Client", job: dict[str, Any], fetching: str, output: Output) -> dict[str, Any]:
    """Show progress until the job ends; Ctrl-C asks whether the job should end too.

    ``fetching``: the command that fetches what the job will have made, for those who leave.
    """
    try:
        with JobProgress(output) as show:
            return client.wait(job["id"], show)
    except KeyboardInterrupt:
        leave(client, job, fetching, output)
        raise


def leave(client: "Client", job: dict[str, Any], fetching: str, output: Output) -> None:
    if sys.stdin.isatty() and not output.as_json:
        from rich.prompt import Confirm

        if Confirm.ask(f"\nCancel {job['id']} as well?", default=False):
            client.cancel(job["id"])
            output.note(f"{job['id']} is being canceled")
            return
    output.note(f"\n{job['id']} goes on without you.")
    output.note(f"  follow:   offhand jobs {job['id']} --watch")
    output.note(f"  fetch:    {fetching}")
    output.note(f"  cancel:   offhand cancel {job['id']}")


def download_with_progress(client: "Client", wanted: str, out: Path, output: Output, *, force: bool = False) -> None:
    """``wanted`` is a dataset's id, its job's, or an alias of it. ``force``: files in ``out`` may be replaced."""
    dataset = client.dataset(dataset_id_of(client, wanted))
    with ByteProgress(output, "downloading") as on_bytes:
        client.download(dataset["id"], out, on_bytes, force=force)
    report_dataset(client, dataset, None, out, output)


def export_with_progress(
    client: "Client", wanted: str, variant: Variant, out: Path | None, output: Output, *, force: bool = False
) -> None:
    """Have the dataset written in this format and split, wait, and fetch the zip to ``out`` if that is given."""
    dataset = client.dataset(dataset_id_of(client, wanted))
    dataset_id, format = dataset["id"], variant[0]
    if out is not None:
        refuse_unwritable_file(out)
    again = f"offhand export {dataset_id} {' '.join(variant_options(variant))} --out FILE.zip"
    job = client.export(dataset_id, *variant)
    if job["state"] != "succeeded":
        job = follow(client, job, again, output)
    (export,) = [one for one in client.exports(dataset_id) if variant_of(one) == variant]
    made = f"{dataset_id} as {format}: {export['bytes']} bytes, SHA-256 {export['sha256']}"
    if out is None:
        output.result(export, f"{made}\n  fetch it with: {again}")
        return
    with ByteProgress(output, "downloading") as on_bytes:
        client.download_export(dataset_id, format, out, on_bytes, *variant[1:], force=force)
    found = quality_of(client, dataset)
    text = "\n".join([f"{made}, checksum verified\n  file  {out}", *quality_lines(found)])
    output.result({**export, "file": str(out), **found}, text)


def dataset_id_of(client: "Client", wanted: str) -> str:
    """``wanted`` is a dataset's id, a job's, or an alias."""
    if wanted.startswith("ds_"):
        return wanted
    if wanted.startswith("job_"):
        job = client.job(wanted)
        dataset_id = (job.get("result") or {}).get("dataset")
        if not dataset_id:
            raise ClientError(f"{wanted} is {job['state']} and has no dataset")
        return str(dataset_id)
    return str(client.alias(wanted)["dataset"])


def report_dataset(
    client: "Client", dataset: dict[str, Any], job: dict[str, Any] | None, out: Path, output: Output
) -> None:
    """Print where the fetched dataset is and, last, how good it is and what speaks against using it."""
    found = quality_of(client, dataset)
    document = {"dataset": dataset, "folder": str(out), **found}
    if job is not None:
        document = {"job": job, **document}
    output.result(document, "\n".join([summary(dataset, job, out), *quality_lines(found)]))


def summary(dataset: dict[str, Any], job: dict[str, Any] | None, out: Path) -> str:
    took = ""
    if job and job.get("started_at") and job.get("finished_at"):
        seconds = (moment(job["finished_at"]) - moment(job["started_at"])).total_seconds()
        took = f" in {seconds:.0f} s"
    return (
        f"{dataset['count']} labelled images{took}, checksums verified\n"
        f"  folder         {out}\n"
        f"  contact sheet  {out / CONTACT_SHEET}"
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
