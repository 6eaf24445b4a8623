"""`offhand labelers`: train one, list what there is, tell what one is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.generate import follow, uploaded
from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_labelers(client: "Client", output: Output) -> None:
    """Newest first."""
    found = list(client.labelers())
    rows = [
        [
            one["id"],
            one["generator"],
            one["label_set"],
            ", ".join(one["report"].get("tasks", {})),
            "yes" if one["quality"] else "",
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["LABELER", "GENERATOR", "LABEL SET", "TASKS", "REPORT", "CREATED"]
    output.result(
        found,
        table(columns, rows) if found else "no labelers; `offhand generate` or `offhand labelers train` makes one",
    )


def train_labeler(
    client: "Client", labels: str, generator: str, settings: dict[str, Any], wait: bool, output: Output
) -> None:
    """Upload, start the job, and unless told not to ``wait`` follow it and tell what the labeler is worth."""
    client.generator(generator)  # a wrong name is told before anything is uploaded
    job = client.train_labeler(uploaded(client, labels, output), generator, **settings)
    output.note(f"job {job['id']}")
    if not wait:
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    job = follow(client, job, f"offhand labelers report {job['id']}", output)
    report_labeler(client, job["result"]["labeler"], None, None, None, output)


def report_labeler(
    client: "Client", wanted: str, folds: int | None, page: Path | None, picture: Path | None, output: Output
) -> None:
    """Have a labeler (or that of a job) judged unless it is already or ``folds`` are asked for; say what was found, and
    keep the page and the picture.
    """
    labeler = client.labeler(_labeler_id(client, wanted))
    if folds is not None or not labeler["quality"]:
        job = client.assess_labeler(labeler["id"], folds)
        output.note(f"job {job['id']}")
        follow(client, job, f"offhand labelers report {labeler['id']}", output)
    report = client.labeler_report(labeler["id"])
    lines = [*_scores(report), *(f"  note  {words}" for words in report["warnings"])]
    for kind, path in (("html", page), ("png", picture)):
        if path is not None:
            try:
                path.write_bytes(client.labeler_report_file(labeler["id"], kind))
            except OSError as error:
                raise ClientError(f"cannot write {path}: {error}") from error
            lines.append(f"  {kind:5} {path}")
    output.result(report, "\n".join(lines))


def _labeler_id(client: "Client", wanted: str) -> str:
    if not wanted.startswith("job_"):
        return wanted
    labeler = client.job(wanted)["result"].get("labeler")
    if labeler is None:
        raise ClientError(f"{wanted} has trained no labeler (yet)")
    return str(labeler)


def _scores(report: dict[str, Any]) -> list[str]:
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
