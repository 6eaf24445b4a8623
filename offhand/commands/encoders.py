"""`offhand encoders`: train one and follow its job, list what there is, tell what one is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhand.commands.generate import follow, uploaded
from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client

#: What a report calls the images that an encoder is judged by, in words.
_JUDGED_BY = {
    "samples": "the generator's own samples",
    "labels_held_out": "labelled images it never saw",
    "labels_learnt": "labelled images it learnt from",
}


def train_encoder(
    client: "Client",
    generator: str,
    labels: str | None,
    settings: dict[str, Any],
    picture: Path | None,
    wait: bool,
    output: Output,
) -> None:
    """Upload labels where there are some, start the job, and unless told not to ``wait`` follow it and tell what came
    of it.
    """
    client.generator(generator)  # a wrong name is told before anything is uploaded
    if labels is not None:
        labels = uploaded(client, labels, output)
    job = client.train_encoder(generator, labels, **settings)
    output.note(f"job {job['id']}")
    if not wait:
        output.result(job, f"started {job['id']}; follow it with: offhand jobs {job['id']} --watch")
        return
    if job["state"] != "succeeded":
        job = follow(client, job, f"offhand encoders show {job['id']}", output)
    show_encoder(client, job["result"]["encoder"], picture, output)


def list_encoders(client: "Client", generator: str | None, output: Output) -> None:
    """Newest first; ``generator``: only those trained for it, by name or id."""
    names = {one["id"]: one["name"] for one in client.generators()}
    found = [one for one in client.encoders() if generator in (None, one["generator"], names.get(one["generator"]))]
    rows = [
        [
            one["id"],
            names.get(one["generator"], one["generator"]),
            one["report"]["train_on"],
            one["report"]["heads"],
            str(one["report"]["steps"]),
            f"{one['report']['by_iteration']['samples'][-1]['psnr']:.1f} dB",
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["ENCODER", "GENERATOR", "TRAINED ON", "HEADS", "STEPS", "SAMPLES", "CREATED"]
    output.result(found, table(columns, rows) if found else "no encoders; train one with: offhand encoders train")


def show_encoder(client: "Client", wanted: str, picture: Path | None, output: Output) -> None:
    """``wanted`` is an encoder's id or its job's. ``picture``: a PNG file for images beside the attempts at them."""
    encoder = client.encoder(_encoder_id(client, wanted))
    if picture is not None:
        try:
            picture.write_bytes(client.encoder_picture(encoder))
        except OSError as error:
            raise ClientError(f"cannot write {picture}: {error}") from error
    output.result(encoder, told(encoder, picture))


def told(encoder: dict[str, Any], picture: Path | None) -> str:
    """What an encoder is worth, in lines."""
    report = encoder["report"]
    lines = [
        f"{encoder['id']}  {report['heads']}, trained on {report['train_on']} for {report['steps']} steps",
        f"  use it with   --set inversion.encoder={encoder['id']}",
    ]
    for name, entries in report["by_iteration"].items():
        lines.append(f"  {_JUDGED_BY[name]} ({report['images'][name]}), after each iteration")
        lines.append("    PSNR        " + " ".join(f"{entry['psnr']:6.1f}" for entry in entries) + "  dB")
        perceptual = " ".join(f"{entry['perceptual']:6.3f}" for entry in entries)
        lines.append(f"    perceptual  {perceptual}  {report['perceptual_name']}")
    if picture is not None:
        lines.append(f"  picture       {picture}")
    return "\n".join(lines)


def _encoder_id(client: "Client", wanted: str) -> str:
    if not wanted.startswith("job_"):
        return wanted
    job = client.job(wanted)
    encoder = job["result"].get("encoder")
    if not encoder:
        raise ClientError(f"{wanted} is {job['state']} and has made no encoder")
    return str(encoder)
