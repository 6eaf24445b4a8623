"""`offhand labelers`: list labelers, train one, show its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from offhand.commands.jobs import follow
from offhand.commands.uploads import uploaded
from offhand.documents import Document
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Name, Preset, Sampling, Url, connect, preset_field, request_settings
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_labelers(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.labelers.list())
    rows = [
        [
            one["id"],
            one["name"] or "",
            one["generator"],
            one["label_set"],
            ", ".join(one["report"].get("tasks", {})),
            "yes" if one["quality"] else "",
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["LABELER", "NAME", "GENERATOR", "LABEL SET", "TASKS", "REPORT", "CREATED"]
    output.result(
        found,
        table(columns, rows) if found else "no labelers; `offhand generate` or `offhand labelers train` makes one",
    )


group = listing_group("Labelers: trained on labelled images, with their scores.", "List the labelers.", list_labelers)


@group.command("train")
def train(
    labels: Annotated[str, typer.Argument(help="Archive or folder of labelled images, or the id of an upload.")],
    generator: Annotated[str, typer.Option(help="Name or id; see `offhand generators`.")],
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of the cross-validation. [5]")] = None,
    preset: Preset = None,
    samples: Annotated[str | None, typer.Option(help="The images are these drawn samples (smp_…).")] = None,
    sampling: Sampling = None,
    name: Name = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. labeler.members=5"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job and print its result.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Train a labeler for datasets to come, and assess it; equal ones are trained once."""
    with ending(as_json) as output, connect(url) as client:
        named = {"folds": folds, "samples": samples, "name": name, preset_field(preset): preset}
        settings = request_settings(setting, named, sampling)
        train_labeler(client, labels, generator, settings, wait, output)


@group.command("report")
def report(
    labeler: Annotated[str, typer.Argument(help="Its id (lab_…), or that of a job that used it.")],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG file for the report.")] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Assess it again, in so many folds. [5 the first time]")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a labeler's scores on images that it has not seen, by cross-validation; measured when first asked for."""
    with ending(as_json) as output, connect(url) as client:
        report_labeler(client, labeler, folds, out, picture, output)


def train_labeler(
    client: "Client", labels: str, generator: str, settings: dict[str, Any], wait: bool, output: Output
) -> None:
    """Upload, start the job, and with ``wait`` follow it and print the labeler's report."""
    client.generators.get(generator)  # refuses a wrong name before anything is uploaded
    job = client.labelers.train(uploaded(client, labels, output), generator, **settings)
    output.note(f"job {job['id']}")
    if not wait:
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    job = follow(client, job, f"offhand labelers report {job['id']}", output)
    report_labeler(client, job["result"]["labeler"], None, None, None, output)


def report_labeler(
    client: "Client", wanted: str, folds: int | None, page: Path | None, picture: Path | None, output: Output
) -> None:
    """Print the report of a labeler (or that of a job), and save the page and the picture. A labeler without a report
    is assessed first, any labeler where ``folds`` are given.
    """
    labeler = client.labelers.get(_labeler_id(client, wanted))
    if folds is not None or not labeler["quality"]:
        job = client.labelers.assess(labeler["id"], folds)
        output.note(f"job {job['id']}")
        follow(client, job, f"offhand labelers report {labeler['id']}", output)
    found = client.labelers.report(labeler["id"])
    rare = found.get("rare_classes", [])
    lines = [*_scores(found), *(f"  note  {words}" for words in found["warnings"] if words not in rare)]
    lines += [f"  RARE CLASS  {words.removeprefix('Rare class ')}" for words in rare]
    files: dict[Literal["html", "png"], Path | None] = {"html": page, "png": picture}
    for kind, path in files.items():
        if path is not None:
            try:
                path.write_bytes(client.labelers.report_file(labeler["id"], kind))
            except OSError as error:
                raise ClientError(f"cannot write {path}: {error}") from error
            lines.append(f"  {kind:5} {path}")
    output.result(found, "\n".join(lines))


def _labeler_id(client: "Client", wanted: str) -> str:
    if not wanted.startswith("job_"):
        return wanted
    labeler = client.jobs.get(wanted)["result"].get("labeler")
    if labeler is None:
        raise ClientError(f"{wanted} has trained no labeler (yet)")
    return str(labeler)


def _scores(report: Document) -> list[str]:
    lines = [f"{report['labeler']}: {report['images']} images, each labelled by one of {report['folds']} labelers"]
    if masks := report.get("segmentation"):
        lines.append(f"  mIoU {_number(masks['mean_iou'])}, {_number(masks['pixel_accuracy'])} of the pixels right")
        lines += [f"  {_number(row['iou']):>6}  {row['name']} ({row['images']} images)" for row in masks["classes"]]
    if points := report.get("keypoints"):
        lines.append("  " + ", ".join(f"PCK-{alpha} {_number(share)}" for alpha, share in points["pck"].items()))
    if depth := report.get("depth"):
        lines.append(f"  depth: mNMSE {_number(depth['mnmse'])}, RMSE {_number(depth['rmse'])} {depth['unit']}")
    if unsure := report["uncertainty"]:
        lines.append(f"  uncertainty: AUGRC {unsure['augrc']:.4f}, gain over chance {unsure['curve']['gain']:+.4f}")
    if report["reliability"]:
        lines.append(f"  calibration error {report['reliability']['error']:.4f}")
    failures = report["inversion"]["failures"]
    lines.append(f"  {len(failures)} of {report['inversion']['images']} labelled images reconstructed badly")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
