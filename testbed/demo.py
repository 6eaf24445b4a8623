"""`make demo`: the main job from end to end, through the real service, in a person's own words.

    offhand up                                  the service, on a free port, data in out/demo/service
    offhand generate examples/heads50.zip …     upload, invert, train, generate, download
    offhand verify out/demo/dataset             every digest against the manifest

Then the shards are unpacked, the service goes down, and the labeler that the job trained is measured on held-out heads
whose exact masks the renderer knows. Everything lands in out/demo, which is emptied first.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LABELS = Path("examples/heads50.zip")
GENERATOR = "heads64"
COUNT = 200
SEED = 1
# A sixth of what the service does, for a demo of minutes on two slow cores; the encoder has done most of the way.
INVERSION_STEPS = 50

OUT = Path("out/demo")
SERVICE = OUT / "service"
DATASET = OUT / "dataset"
SAMPLES = OUT / "samples"
LABELER = OUT / "labeler"

OFFHAND = [sys.executable, "-m", "offhand"]
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1


class DemoFailed(Exception):
    """Something the person should read; the program ends with `status`."""

    def __init__(self, detail: str, status: int = 1) -> None:
        super().__init__(detail)
        self.status = status


def run() -> None:
    """The demo from start to end; raises DemoFailed."""
    started = time.monotonic()
    with service(SERVICE) as url:
        say(f"the service is up at {url}")
        settings = ["--generator", GENERATOR, "--count", str(COUNT), "--seed", str(SEED)]
        settings += ["--set", f"inversion.steps={INVERSION_STEPS}"]
        offhand("generate", str(LABELS), *settings, "--out", str(DATASET), "--url", url)
        offhand("verify", str(DATASET))
        samples = unpack(DATASET, SAMPLES)
    say("the service is down")

    say("measuring the labeler on held-out heads, against the renderer's truth")
    heldout = measure()

    say(f"done in {time.monotonic() - started:.0f} s")
    print(f"  contact sheet     {DATASET / 'contact_sheet.png'}   image | mask | uncertainty")
    print(f"  dataset           {DATASET}   WebDataset shards, manifest, card")
    print(f"  unpacked          {SAMPLES}   {samples} images with masks, uncertainty and latents")
    print(f"  labeler's report  {DATASET / 'README.md'}")
    print(heldout, flush=True)


def measure() -> str:
    """mIoU of the labeler on inverted held-out heads, and what dropping the most uncertain of them gains."""
    from testbed.score import heldout_quick

    score = heldout_quick(collect_labeler(SERVICE, LABELER), steps=INVERSION_STEPS)
    gain = 100 * (score.miou_kept - score.miou)
    return (
        f"  held-out score    mIoU {score.miou:.3f} on {score.images} held-out heads, inverted at {score.psnr:.1f} dB\n"
        f"  rejection         mIoU {score.miou_kept:.3f} without the most uncertain {score.drop_fraction:.0%} "
        f"({gain:+.1f} points)"
    )


def collect_labeler(data: Path, into: Path) -> Path:
    """Copy the one labeler that the service's job has trained out of its objects, whose names begin with a number."""
    parts = {part.name.partition("-")[2]: part for part in sorted(data.glob("objects/**/*-labeler.*"))}
    if not {"labeler.json", "labeler.safetensors"} <= parts.keys():
        raise DemoFailed(f"the service has kept no labeler below {data}")
    into.mkdir()
    for name, part in parts.items():
        shutil.copy(part, into / name)
    return into


# -- the service and its command ---------------------------------------------------------------------------------------


@contextmanager
def service(data: Path) -> Iterator[str]:
    """`offhand up` on a free port; yields its URL. Nothing of it is left running, however the block ends."""
    up = subprocess.Popen(
        [*OFFHAND, "up", "--data", str(data), "--port", "0", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
        preexec_fn=_end_with_parent,
    )
    try:
        yield _url(up)
    finally:
        up.terminate()
        try:
            up.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()
        if up.stdout is not None:
            up.stdout.close()


def _end_with_parent() -> None:
    """In the child, before its program starts: the kernel ends it when this process is killed outright (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _url(up: subprocess.Popen[str]) -> str:
    """The URL that `offhand up --json` prints once it is ready; an error document says why it is not."""
    assert up.stdout is not None
    lines: list[str] = []
    for line in up.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    document = json.loads("".join(lines) or "{}")
    if "url" not in document:
        raise DemoFailed(f"the service did not start:\n{''.join(lines)}")
    return str(document["url"])


def offhand(*arguments: str) -> None:
    """One `offhand` command, its words and progress going where ours go."""
    say(f"offhand {' '.join(arguments)}")
    finished = subprocess.run([*OFFHAND, *arguments], stdin=subprocess.DEVNULL, check=False)
    if finished.returncode != 0:
        detail = f"`offhand {arguments[0]}` ended with status {finished.returncode}; logs are in {SERVICE / 'logs'}"
        raise DemoFailed(detail, finished.returncode)


def unpack(dataset: Path, into: Path) -> int:
    """Extract every shard that the manifest lists; the number of images."""
    manifest = json.loads((dataset / "manifest.json").read_text())
    for shard in manifest["shards"]:
        with tarfile.open(dataset / shard["path"]) as archive:
            archive.extractall(into, filter="data")
    count = sum(1 for _ in into.rglob("*.image.png"))
    if count != COUNT:
        raise DemoFailed(f"asked for {COUNT} images, unpacked {count}")
    return count


# -- the program -------------------------------------------------------------------------------------------------------


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """`folder` made empty, and ours alone while the block runs."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoFailed(f"another demo is running in {folder}") from error
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield


def say(line: str) -> None:
    print(f"demo: {line}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    raise KeyboardInterrupt


def main() -> int:
    """The exit status: 0 done, 1 failed or that of the `offhand` command that failed, 130 interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if not LABELS.is_file():
        say(f"{LABELS} is not here; run the demo from the repository's root")
        return 1
    try:
        with emptied(OUT):
            run()
    except DemoFailed as failure:
        say(str(failure))
        return failure.status
    except KeyboardInterrupt:
        say("interrupted; the service is down")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
