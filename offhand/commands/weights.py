"""`offhand weights`: list and download the published weights that a worker on this machine uses."""

from typing import Annotated, Any

import typer

from offhand.terminal.options import Json
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress
from offhand.terminal.tables import table

group = typer.Typer(help="Published weights on this machine: list them, download them.", no_args_is_help=True)


@group.command("ls")
def ls(
    verify: Annotated[bool, typer.Option("--verify", help="Compare files with the publishers' digests.")] = False,
    as_json: Json = False,
) -> None:
    """List the published weights, with those that a worker on this machine finds."""
    with ending(as_json) as output:
        from offhand.embedded.weights import run

        found = run(["ls", *(["--verify"] if verify else [])])
        rows = [[one["name"], f"{one['mib']} MiB", state(one), one["used_for"]] for one in found]
        output.result(found, table(["NAME", "SIZE", "HERE", "USED FOR"], rows))


@group.command("pull")
def pull(
    names: Annotated[list[str], typer.Argument(help="vgg, alex, squeeze, inception, clip, dinov2; see `weights ls`.")],
    source: Annotated[
        str | None, typer.Option("--from", help="A file, or an https URL of a mirror, instead of the publisher's URL.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 that the file must have, in place of the publisher's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Download published weights into the worker's cache and compare their digest; a cut download continues."""
    with ending(as_json) as output:
        documents = [pull_one(name, source, sha256, output) for name in names]
        output.result(documents, "\n".join(map(pulled_text, documents)))


def pull_one(name: str, source: str | None, sha256: str | None, output: Output) -> dict[str, Any]:
    """Pull the weights ``name`` and return their document."""
    from offhand.embedded.weights import run

    arguments = ["pull", name]
    if source is not None:
        arguments += ["--from", source]
    if sha256 is not None:
        arguments += ["--sha256", sha256]
    with ByteProgress(output, f"pulling {name}") as on_bytes:
        (document,) = run(arguments, on_bytes)
    return dict(document)


def state(one: dict[str, Any]) -> str:
    """Return whether weights are here, in words."""
    if not one["present"]:
        return "no"
    return {None: "yes", True: "verified", False: "other digest"}[one.get("as_published")]


def pulled_text(one: dict[str, Any]) -> str:
    """Return what was pulled, in lines."""
    begin = one["name"] if one["downloaded"] else f"{one['name']} was here already"
    return f"{begin}  {one['bytes']:,} bytes\n  file    {one['path']}\n  sha256  {one['sha256']}"
