"""`offhand evaluate` and `offhand report`: what a dataset is worth, as a verdict and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.errors import ClientError
from client.generating import dataset_id_of, follow, uploaded
from client.output import Output

if TYPE_CHECKING:
    from client.sdk import Offhand


def evaluate_dataset(
    offhand: "Offhand",
    wanted: str,
    against: str,
    generated_labels: str | None,
    settings: dict[str, Any],
    out: Path | None,
    output: Output,
) -> None:
    """Upload held-out labels (and labels of generated images), have the dataset evaluated, wait, print the verdict and
    keep the page.
    """
    dataset = dataset_id_of(offhand, wanted)
    offhand.dataset(dataset)  # a wrong id is told before anything is uploaded
    labels = uploaded(offhand, against, output)
    by_hand = uploaded(offhand, generated_labels, output) if generated_labels else None
    job = offhand.evaluate(dataset, labels, by_hand, **settings)
    output.note(f"evaluation {job['id']}")
    follow(offhand, job, f"offhand report {job['id']}" + (f" --out {out}" if out else ""), output)
    show_report(offhand, job["id"], out, output)


def show_report(offhand: "Offhand", wanted: str, out: Path | None, output: Output) -> None:
    """``wanted`` is an evaluation, or names a dataset: then its newest finished one. The page goes to ``out``."""
    report = offhand.report(_evaluation_of(offhand, wanted))
    lines = [report["sentence"]]
    lines += [f"  {gate['state']:8} {gate['name']:14} {gate['words']}" for gate in report["gates"]]
    lines += [f"  note     {words}" for words in report["warnings"]]
    if out is not None:
        try:
            out.write_bytes(offhand.report_page(report["evaluation"]))
        except OSError as error:
            raise ClientError(f"cannot write {out}: {error}") from error
        lines.append(f"  page     {out}")
    output.result(report, "\n".join(lines))


def _evaluation_of(offhand: "Offhand", wanted: str) -> str:
    if wanted.startswith("job_") and offhand.job(wanted)["kind"] == "evaluate":
        return wanted
    dataset = dataset_id_of(offhand, wanted)
    for one in offhand.evaluations(dataset):
        if one["report_json"]:
            return str(one["id"])
    raise ClientError(
        f"{dataset} has no finished evaluation; make one with: offhand evaluate {dataset} --against LABELS"
    )
