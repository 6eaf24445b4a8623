"""`offhand evaluate` and `offhand report`: what a dataset is worth, as a verdict and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.generate import dataset_id_of, follow, uploaded
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def evaluate_dataset(
    client: "Client",
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
    dataset = dataset_id_of(client, wanted)
    client.dataset(dataset)  # a wrong id is told before anything is uploaded
    labels = uploaded(client, against, output)
    by_hand = uploaded(client, generated_labels, output) if generated_labels else None
    job = client.evaluate(dataset, labels, by_hand, **settings)
    output.note(f"evaluation {job['id']}")
    follow(client, job, f"offhand report {job['id']}" + (f" --out {out}" if out else ""), output)
    show_report(client, job["id"], out, output)


def show_report(client: "Client", wanted: str, out: Path | None, output: Output) -> None:
    """``wanted`` is an evaluation, or names a dataset: then its newest finished one. The page goes to ``out``."""
    report = client.report(_evaluation_of(client, wanted))
    lines = [report["sentence"]]
    lines += [f"  {gate['state']:8} {gate['name']:14} {gate['words']}" for gate in report["gates"]]
    lines += [f"  note     {words}" for words in report["warnings"]]
    if out is not None:
        try:
            out.write_bytes(client.report_page(report["evaluation"]))
        except OSError as error:
            raise ClientError(f"cannot write {out}: {error}") from error
        lines.append(f"  page     {out}")
    output.result(report, "\n".join(lines))


def _evaluation_of(client: "Client", wanted: str) -> str:
    if wanted.startswith("job_") and client.job(wanted)["kind"] == "evaluate":
        return wanted
    dataset = dataset_id_of(client, wanted)
    for one in client.evaluations(dataset):
        if one["report_json"]:
            return str(one["id"])
    raise ClientError(
        f"{dataset} has no finished evaluation; make one with: offhand evaluate {dataset} --against LABELS"
    )
