"""The `offhand` command. Nothing heavy is imported before a command runs: `offhand --help` is for impatient people."""

from pathlib import Path
from typing import Annotated

import typer

from offhand.commands.groups import encoders, generators, keys, labelers, samples, webhooks
from offhand.terminal.options import Force, Json, Url, connect
from offhand.terminal.output import ending

app = typer.Typer(
    name="offhand",
    help="Labelled datasets of any size from a handful of labelled images and a frozen image generator.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than the help takes to read
    pretty_exceptions_enable=False,
    epilog=(
        "Exit codes: 0 done · 1 the job failed · 2 wrong command line · 3 nothing answers · 4 the service refused · "
        "5 download failed · 6 port or data folder in use · 7 a part did not start · "
        "8 the generator cannot redraw the labelled images · 130 Ctrl-C"
    ),
)


@app.command()
def up(
    data: Annotated[Path, typer.Option(envvar="OFFHAND_HOME", help="Data folder.")] = Path("offhand-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8321,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    wait: Annotated[float, typer.Option(help="Seconds the service may take to become ready.")] = 180.0,
    as_json: Json = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C."""
    with ending(as_json) as output:
        from offhand.embedded.processes import serve

        serve(data, port, log_level, wait, output)


@app.command()
def worker(
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N. [OFFHAND_WORKER__DEVICE]")] = None,
    queues: Annotated[str | None, typer.Option(help="Kinds of work it takes, of sample,train,cpu. [all]")] = None,
    embedded: Annotated[bool, typer.Option(help="Poll the database instead of listening to a broker.")] = False,
    as_json: Json = False,
) -> None:
    """Run one more worker of a deployment until SIGTERM; settings come from the environment."""
    with ending(as_json):
        from offhand.embedded.processes import become_worker

        become_worker(device, queues, embedded)


@app.command()
def generate(
    labels: Annotated[
        str, typer.Argument(help="Archive or folder of labelled images, or the id of an earlier upload.")
    ],
    generator: Annotated[str, typer.Option(help="Name or id; see `offhand generators`.")],
    count: Annotated[int, typer.Option(help="Images wanted, after filtering.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the dataset; without it the job only starts.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same dataset. Default: random, recorded.")] = None,
    truncation_psi: Annotated[float | None, typer.Option(help="0 to 1; lower is safer and less varied. [0.7]")] = None,
    drop_fraction: Annotated[float | None, typer.Option(help="Most uncertain part that is dropped. [0.1]")] = None,
    preset: Annotated[str | None, typer.Option(help="How the labeler is trained: fast or paper. [fast]")] = None,
    samples: Annotated[str | None, typer.Option(help="The images are of these samples (smp_…).")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the request: NAME=JSON, e.g. labeler.members=5"),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(help="Go on where the generator cannot redraw the labelled images; replace files in --out."),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Check the request and print the estimate; start nothing.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Turn labelled images into a labelled dataset and download it."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generate import generate_dataset, rehearse_dataset, request_settings

        settings = request_settings(
            setting or [],
            {
                "seed": seed,
                "truncation_psi": truncation_psi,
                "drop_fraction": drop_fraction,
                "labeler.preset": preset,
                "samples": samples,
                "force": True if force else None,
            },
        )
        if dry_run:
            rehearse_dataset(client, labels, generator, count, settings, output)
        else:
            generate_dataset(client, labels, generator, count, settings, out, output, replace=force)


@app.command()
def jobs(
    job: Annotated[str | None, typer.Argument(help="One job in full; without it, the list.")] = None,
    watch: Annotated[bool, typer.Option(help="Follow the job until it ends.")] = False,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List jobs, or look at one."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.jobs import follow_job, list_jobs, show_job

        if job is None:
            list_jobs(client, state, limit, output)
        elif watch:
            follow_job(client, job, output)
        else:
            show_job(client, job, output)


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="The job's id.")], url: Url = None, as_json: Json = False) -> None:
    """Stop a job. What is finished of its dataset stays readable."""
    with ending(as_json) as output, connect(url) as client:
        document = client.cancel(job)
        output.result(document, f"{document['id']} {document['state']}")


@app.command()
def resume(job: Annotated[str, typer.Argument(help="The job's id.")], url: Url = None, as_json: Json = False) -> None:
    """Try again what failed of a job. What is finished stays."""
    with ending(as_json) as output, connect(url) as client:
        document = client.resume(job)
        output.result(document, f"{document['id']} {document['state']}")


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="Id of a dataset or of the job that made it, or an alias.")],
    format: Annotated[str, typer.Option(help="coco, yolo, voc, masks, hf or cvat.")],
    out: Annotated[Path | None, typer.Option(help="Zip to fetch it to; without it, it is only made.")] = None,
    split: Annotated[
        float | None, typer.Option(min=0.0, max=0.9, help="Fraction for validation. [0.1 for yolo, 0 for others]")
    ] = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Which images are for validation.")] = 0,
    force: Force = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Have a dataset written in another format, once; fetch and verify it."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generate import export_with_progress

        export_with_progress(client, dataset, (format, split, split_seed), out, output, force=force)


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(help="Id of a dataset or of the job that made it, or an alias.")],
    out: Annotated[Path, typer.Option(help="Folder for the dataset; a zip with --format.")],
    format: Annotated[str, typer.Option(help="webdataset, or one that is made first: see export.")] = "webdataset",
    force: Force = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Fetch a dataset, going on where an earlier attempt stopped, and verify it."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.generate import download_with_progress, export_with_progress

        if format == "webdataset":
            download_with_progress(client, dataset, out, output, force=force)
        else:
            export_with_progress(client, dataset, (format, None, 0), out, output, force=force)


@app.command()
def evaluate(
    dataset: Annotated[str, typer.Argument(help="Id of a dataset or of the job that made it, or an alias.")],
    against: Annotated[str, typer.Option(help="Labelled images that had no part in it: archive, folder or id.")],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    generated_labels: Annotated[
        str | None,
        typer.Option(help="Images of the dataset itself, labelled by hand and named by index: archive, folder or id."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Paired repeats; one or two prove little. [3]")] = None,
    preset: Annotated[str | None, typer.Option(help="small, handsoff or knowing_the_distance. [small]")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Any other field, e.g. steps=300")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Measure what a dataset is worth, against the same labels alone, and say whether to use it."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.evaluations import evaluate_dataset
        from offhand.commands.generate import request_settings

        settings = request_settings(setting or [], {"repeats": repeats, "preset": preset})
        evaluate_dataset(client, dataset, against, generated_labels, settings, out, output)


@app.command()
def report(
    evaluation: Annotated[
        str, typer.Argument(help="Id of an evaluation; or of a dataset, its job or alias: its newest.")
    ],
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show what an evaluation has found, and keep its page."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.evaluations import show_report

        show_report(client, evaluation, out, output)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="A downloaded dataset.")], as_json: Json = False) -> None:
    """Check a downloaded dataset against its manifest."""
    with ending(as_json) as output:
        from offhand.sdk.downloads import verify_folder

        manifest = verify_folder(folder)
        size = sum(shard["bytes"] for shard in manifest["shards"])
        result = {"folder": str(folder), "dataset": manifest["dataset"], "count": manifest["count"], "bytes": size}
        output.result(result, f"{folder} is complete: {manifest['count']} images, every digest right")


@app.command()
def doctor(url: Url = None, as_json: Json = False) -> None:
    """Look for what keeps Offhand from working on this machine."""
    with ending(as_json) as output:
        from offhand.embedded.doctor import examine

        examine(url, output)


app.add_typer(encoders.encoders, name="encoders")
app.add_typer(labelers.labelers, name="labelers")
app.add_typer(samples.samples, name="samples")
app.add_typer(generators.generators, name="generators")
app.add_typer(keys.keys, name="keys")
app.add_typer(webhooks.webhooks, name="webhooks")


def main() -> None:
    app()
