"""The `offhand` command. Nothing heavy is imported before a command runs, so that `offhand --help` is quick."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from offhand.commands import (
    aliases,
    datasets,
    delivery,
    doctor,
    encoders,
    evaluations,
    events,
    generate,
    generators,
    images,
    jobs,
    keys,
    label_sets,
    labelers,
    quota,
    samples,
    up,
    uploads,
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
    events.events,
    delivery.export,
    delivery.download,
    evaluations.evaluate,
    evaluations.report,
    delivery.verify,
    quota.quota,
    doctor.doctor,
)
GROUPS = {
    "datasets": datasets.group,
    "aliases": aliases.group,
    "label-sets": label_sets.group,
    "uploads": uploads.group,
    "images": images.group,
    "encoders": encoders.group,
    "labelers": labelers.group,
    "samples": samples.group,
    "generators": generators.group,
    "keys": keys.group,
    "webhooks": webhooks.group,
    "weights": weights.group,
}

USAGE = 2
#: typer brings a copy of click, whose errors have no public name.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """The top of the command line. With ``--json`` a wrong command line is reported as JSON, as every other error."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Run a command. Exits with 2 for a wrong command line."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given or not options.get("standalone_mode", True):
            return super().main(args, *more, **options)
        try:
            return super().main(given, *more, **{**options, "standalone_mode": False})
        except UsageError as error:
            document = {"error": {"code": "usage", "detail": str(error), "problems": []}}
            print(json.dumps(document, indent=2), flush=True)
            raise SystemExit(USAGE) from error


app = typer.Typer(
    name="offhand",
    cls=Commands,
    help="Labelled datasets of any size from a handful of labelled images and an image generator.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes longer to import than the help takes to read
    pretty_exceptions_enable=False,
    epilog=(
        "Exit codes: 0 done · 1 the job failed · 2 wrong command line · 3 nothing answers · 4 the service refused · "
        "5 download failed · 6 port or data folder in use · 7 a part did not start · "
        "8 the generator cannot redraw the labelled images · 9 --gate: do not use · 130 Ctrl-C"
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"offhand {version('offhand')}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Labelled datasets of any size from a handful of labelled images and an image generator."""


for command in COMMANDS:
    app.command()(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line."""
    app()
