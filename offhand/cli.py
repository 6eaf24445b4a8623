"""The `offhand` command. Nothing heavy is imported before a command runs, so that `offhand --help` is quick."""

import typer

from offhand.commands import (
    datasets,
    doctor,
    encoders,
    evaluations,
    generate,
    generators,
    jobs,
    keys,
    label_sets,
    labelers,
    samples,
    up,
    webhooks,
    weights,
)

COMMANDS = (
    up.up,
    up.worker,
    generate.generate,
    jobs.jobs,
    jobs.cancel,
    jobs.resume,
    datasets.export,
    datasets.download,
    evaluations.evaluate,
    evaluations.report,
    datasets.verify,
    doctor.doctor,
)
GROUPS = {
    "labels": label_sets.group,
    "encoders": encoders.group,
    "labelers": labelers.group,
    "samples": samples.group,
    "generators": generators.group,
    "keys": keys.group,
    "webhooks": webhooks.group,
    "weights": weights.group,
}

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
for command in COMMANDS:
    app.command()(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line."""
    app()
