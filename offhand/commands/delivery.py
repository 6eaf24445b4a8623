"""`offhand download`, `offhand export`, `offhand verify`; and the last lines about a dataset that was fetched."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.jobs import follow
from offhand.documents import Dataset, Document, Job
from offhand.errors import ClientError
from offhand.sdk.exports import Variant, variant_of
from offhand.terminal.options import Json, Overwrite, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress

if TYPE_CHECKING:
    from offhand.sdk.client import Client

DatasetId = Annotated[str, typer.Argument(help="Id of a dataset or of the job that made it, or an alias.")]


def download(
    dataset: DatasetId,
    out: Annotated[Path, typer.Option(help="Folder for the dataset; a zip with --format.")],
    format: Annotated[str, typer.Option(help="webdataset, or one that is made first: see export.")] = "webdataset",
    overwrite: Overwrite = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Download a dataset, continuing an interrupted download, and verify it."""
    with ending(as_json) as output, connect(url) as client:
        if format == "webdataset":
            download_dataset(client, dataset, out, output, overwrite=overwrite)
        else:
            export_dataset(client, dataset, Variant(format), out, output, overwrite=overwrite)


def export(
    dataset: DatasetId,
    format: Annotated[str, typer.Option(help="coco, yolo, voc, masks, hf or cvat.")],
    out: Annotated[Path | None, typer.Option(help="Zip file to download to; without it, only export.")] = None,
    split: Annotated[
        float | None, typer.Option(min=0.0, max=0.9, help="Fraction for validation. [0.1 for yolo, 0 for others]")
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Which images are for validation.")] = 0,
    overwrite: Overwrite = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Export a dataset in another format; download and verify it."""
    with ending(as_json) as output, connect(url) as client:
        export_dataset(client, dataset, Variant(format, split, split_seed), out, output, overwrite=overwrite)


def verify(folder: Annotated[Path, typer.Argument(help="A downloaded dataset.")], as_json: Json = False) -> None:
    """Check a downloaded dataset against its manifest."""
    with ending(as_json) as output:
        from offhand.sdk.downloads import verify_folder

        manifest = verify_folder(folder)
        size = sum(shard["bytes"] for shard in manifest["shards"])
        result = {"folder": str(folder), "dataset": manifest["dataset"], "count": manifest["count"], "bytes": size}
        output.result(result, f"{folder} is complete: {manifest['count']} images, every digest right")


def download_dataset(client: "Client", wanted: str, out: Path, output: Output, *, overwrite: bool = False) -> None:
    """``wanted`` is a dataset's id, its job's, or an alias of it. ``overwrite``: files in ``out`` may be replaced."""
    dataset = client.datasets.get(dataset_id_of(client, wanted))
    with ByteProgress(output, "downloading") as on_bytes:
        client.datasets.download(dataset["id"], out, on_bytes, overwrite=overwrite)
    report_dataset(client, dataset, None, out, output)


def export_dataset(
    client: "Client", wanted: str, variant: Variant, out: Path | None, output: Output, *, overwrite: bool = False
) -> None:
    """Have the dataset written in this format and split, wait, and fetch the zip to ``out`` if that is given."""
    from offhand.sdk.folders import refuse_unwritable_file

    dataset = client.datasets.get(dataset_id_of(client, wanted))
    dataset_id, (format, split, split_seed) = dataset["id"], variant
    if out is not None:
        refuse_unwritable_file(out)
    again = f"offhand export {dataset_id} {variant.options} --out FILE.zip"
    job = client.datasets.export(dataset_id, format, split, split_seed)
    if job["state"] != "succeeded":
        job = follow(client, job, again, output)
    (made,) = [one for one in client.datasets.exports(dataset_id) if variant_of(one) == variant]
    facts = f"{dataset_id} as {format}: {made['bytes']} bytes, SHA-256 {made['sha256']}"
    if out is None:
        output.result(made, f"{facts}\n  fetch it with: {again}")
        return
    with ByteProgress(output, "downloading") as on_bytes:
        client.datasets.download_export(
            dataset_id, format, out, on_bytes, split=split, split_seed=split_seed, overwrite=overwrite
        )
    found = quality_of(client, dataset)
    text = "\n".join([f"{facts}, checksum verified\n  file  {out}", *quality_lines(found)])
    output.result({**made, "file": str(out), **found}, text)


def dataset_id_of(client: "Client", wanted: str) -> str:
    """Return the id of a dataset that is named by its id, its job's, or an alias."""
    if wanted.startswith("ds_"):
        return wanted
    if wanted.startswith("job_"):
        job = client.jobs.get(wanted)
        dataset_id = job["result"].get("dataset")
        if not dataset_id:
            raise ClientError(f"{wanted} is {job['state']} and has no dataset")
        return str(dataset_id)
    return client.aliases.get(wanted)["dataset"]


def report_dataset(client: "Client", dataset: Dataset, job: Job | None, out: Path, output: Output) -> None:
    """Print where the fetched dataset is and, last, how good it is and what speaks against using it."""
    found = quality_of(client, dataset)
    document: Document = {"dataset": dataset, "folder": str(out), **found}
    if job is not None:
        document = {"job": job, **document}
    output.result(document, "\n".join([_summary(dataset, job, out), *quality_lines(found)]))


def _summary(dataset: Dataset, job: Job | None, out: Path) -> str:
    from offhand.sdk.folders import CONTACT_SHEET

    took = ""
    if job and job["started_at"] and job["finished_at"]:
        seconds = (_moment(job["finished_at"]) - _moment(job["started_at"])).total_seconds()
        took = f" in {seconds:.0f} s"
    return (
        f"{dataset['count']} labelled images{took}, checksums verified\n"
        f"  folder         {out}\n"
        f"  contact sheet  {out / CONTACT_SHEET}"
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def quality_of(client: "Client", dataset: Dataset) -> Document:
    """Return ``{quality, warnings, evaluation}`` of a dataset; ``evaluation``: verdict and failed gates of the newest
    finished evaluation, or None.
    """
    return {
        "quality": dataset["quality"],
        "warnings": dataset["warnings"],
        "evaluation": _newest_evaluation(client, dataset["id"]),
    }


def _newest_evaluation(client: "Client", dataset_id: str) -> Document | None:
    for one in client.evaluations.list(dataset_id):
        if one["report_json"]:
            report = client.evaluations.report(one["id"])
            failed = [gate["words"] for gate in report["gates"] if gate["state"] == "failed"]
            recommended = report.get("recommended") or {"words": ""}  # reports of older releases have none
            return {
                "id": one["id"],
                "sentence": report["sentence"],
                "recommended": recommended["words"],
                "failed": failed,
            }
    return None


def quality_lines(found: Document) -> list[str]:
    """Return the result of :func:`quality_of` as lines: scores, warnings, rare classes, reasons against using it."""
    quality = found["quality"] or {}
    lines = _scores(quality)
    against, rare = quality.get("do_not_use") or [], quality.get("rare_classes") or []
    lines += [f"  warning        {words}" for words in found["warnings"] if words not in (*against, *rare)]
    evaluation = found["evaluation"]
    if evaluation is not None:
        lines.append(f"  evaluation     {evaluation['sentence']}")
        if evaluation["recommended"]:
            lines.append(f"  recommended    {evaluation['recommended']}")
        lines += [f"  failed         {words}" for words in evaluation["failed"]]
    lines += [f"  RARE CLASS     {words.removeprefix('Rare class ')}" for words in rare]
    return lines + [f"  DO NOT USE     {words}" for words in against]


def _scores(quality: dict[str, Any]) -> list[str]:
    lines = []
    held_out, inversion = quality.get("held_out"), quality.get("reconstruction")
    if held_out and held_out.get("mean_iou") is not None:
        count = held_out["images"]
        lines.append(
            f"  held-out mIoU  {held_out['mean_iou']:.3f} on {count} labelled image{'s' * (count != 1)} kept aside"
        )
    elif quality:
        lines.append("  held-out mIoU  not measured: no labelled images were kept aside")
    if inversion:
        perceptual = inversion.get("median_perceptual")
        distance = "" if perceptual is None else f", median {inversion['perceptual_name']} {perceptual:.3f}"
        lines.append(
            f"  reconstruction median PSNR {inversion['median_psnr']:.1f} dB{distance}; "
            f"{inversion['flagged']} of {inversion['images']} images flagged"
        )
    return lines
