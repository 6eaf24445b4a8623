"""`offhand evaluate` and `offhand report`: a dataset measured on held-out labels, as a verdict and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.commands.delivery import DatasetId, dataset_id_of
from offhand.commands.jobs import follow
from offhand.commands.uploads import uploaded
from offhand.errors import ClientError
from offhand.terminal.options import Json, Name, Url, connect, request_settings
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client

DO_NOT_USE = 9
"""Exit code of ``--gate`` for the verdict "do not use"."""
Gate = Annotated[bool, typer.Option("--gate", help='End with exit code 9 where the verdict is "do not use".')]


def evaluate(
    dataset: DatasetId,
    against: Annotated[str, typer.Option(help="Held-out labelled images: archive, folder or id.")],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    generated_labels: Annotated[
        str | None,
        typer.Option(help="Images of the dataset itself, labelled by hand and named by index: archive, folder or id."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Repeats; one or two prove little. [5]")] = None,
    preset: Annotated[str | None, typer.Option(help="small, handsoff or knowing_the_distance. [small]")] = None,
    name: Name = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Any other field, e.g. steps=300")] = None,
    gate: Gate = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Evaluate a dataset on held-out labels, against training on the same labels alone, and print a verdict."""
    with ending(as_json) as output, connect(url) as client:
        settings = request_settings(setting, {"repeats": repeats, "preset": preset, "name": name})
        found = evaluate_dataset(client, dataset, against, generated_labels, settings, out, output)
        _end_by_verdict(found, gate)


def report(
    evaluation: Annotated[
        str, typer.Argument(help="Id of an evaluation; or of a dataset, its job or alias: its newest.")
    ],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    gate: Gate = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show the results of an evaluation, and save its page."""
    with ending(as_json) as output, connect(url) as client:
        _end_by_verdict(show_report(client, evaluation, out, output), gate)


def evaluate_dataset(
    client: "Client",
    wanted: str,
    against: str,
    generated_labels: str | None,
    settings: dict[str, Any],
    out: Path | None,
    output: Output,
) -> dict[str, Any]:
    """Upload held-out labels (and labels of generated images), have the dataset evaluated, wait, print the verdict and
    save the page. Returns the report.
    """
    dataset = dataset_id_of(client, wanted)
    client.datasets.get(dataset)  # refuses a wrong id before anything is uploaded
    labels = uploaded(client, against, output)
    by_hand = uploaded(client, generated_labels, output) if generated_labels else None
    job = client.evaluations.create(dataset, labels, by_hand, **settings)
    output.note(f"evaluation {job['id']}")
    follow(client, job, f"offhand report {job['id']}" + (f" --out {out}" if out else ""), output)
    return show_report(client, job["id"], out, output)


def show_report(client: "Client", wanted: str, out: Path | None, output: Output) -> dict[str, Any]:
    """``wanted`` is an evaluation, or names a dataset: then its newest finished one. The page goes to ``out``. Returns
    the report.
    """
    found = client.evaluations.report(_evaluation_of(client, wanted))
    lines = [found["sentence"]]
    if recommended := found.get("recommended"):  # reports of older releases recommend nothing
        lines.append(f"  recommended: {recommended['words']}")
    lines += [f"  {gate['state']:8} {gate['name']:14} {gate['words']}" for gate in found["gates"]]
    lines += [f"  note     {words}" for words in found["warnings"]]
    if out is not None:
        try:
            out.write_bytes(client.evaluations.report_page(found["evaluation"]))
        except OSError as error:
            raise ClientError(f"cannot write {out}: {error}") from error
        lines.append(f"  page     {out}")
    output.result(found, "\n".join(lines))
    return dict(found)


def _end_by_verdict(found: dict[str, Any], gate: bool) -> None:
    """End the command with :data:`DO_NOT_USE` where ``gate`` is asked for and that is the verdict."""
    if gate and found["verdict"] == "do not use":
        raise SystemExit(DO_NOT_USE)


def _evaluation_of(client: "Client", wanted: str) -> str:
    if wanted.startswith("job_") and client.jobs.get(wanted)["kind"] == "evaluate":
        return wanted
    dataset = dataset_id_of(client, wanted)
    for one in client.evaluations.list(dataset):
        if one["report_json"]:
            return one["id"]
    raise ClientError(
        f"{dataset} has no finished evaluation; make one with: offhand evaluate {dataset} --against LABELS"
    )
