"""What a worker refuses of archives, images, labels and checkpoints: each row against the running service.

What the door itself refuses is in `tests/api/test_bad_input.py`. An upload is taken as bytes; what is inside is read in
the worker's child alone, and ends the job as `failed` with every problem and the name of its file.
"""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from offhand.sdk.client import Client
from tests.core.checkpoints import writers
from tests.core.datasets.archives import good_files, mask, photograph, picture, png_chunk, raw_png
from tests.e2e import tiny
from tests.e2e.conftest import Undisturbed

Files = Mapping[str, bytes]
#: What is told: a pointer, and words that its detail holds.
Told = Mapping[str, str]


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def entries(*added: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    """A good archive with entries of any name and kind behind."""
    out = io.BytesIO(zipped(good_files()))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for info, content in added:
            archive.writestr(info, content)
    return out.getvalue()


def tarred(*added: tarfile.TarInfo) -> bytes:
    """The same as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in good_files().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in added:
            archive.addfile(info)
    return out.getvalue()


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def soft_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("images/link.png")
    info.external_attr = (stat.S_IFLNK | 0o644) << 16
    return info


def encrypted() -> bytes:
    """The first entry's flag says so, in both its places."""
    content = bytearray(zipped(good_files()))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def lying() -> bytes:
    """The first entry says that it has five bytes."""
    content = bytearray(zipped(good_files()))
    directory = content.index(b"PK\x01\x02")
    content[22:26] = content[directory + 24 : directory + 28] = struct.pack("<L", 5)
    return bytes(content)


def spoilt() -> bytes:
    content = zipped(good_files() | {"notes.txt": b"spoilt content"}, zipfile.ZIP_STORED)
    return content.replace(b"spoilt content", b"spoiled words!")


def with_nul() -> bytes:
    return zipped(good_files() | {"evil.png0.exe": b"x"}).replace(b"evil.png0.exe", b"evil.png\0.exe")


def animated() -> bytes:
    frames = [Image.fromarray(photograph(n)) for n in range(3)]
    return picture(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50)


def changed(**files: bytes | None) -> bytes:
    """A good label set with files in place of others, or without them. `__` stands for `/`, a last `_` for a dot."""
    made = good_files(4)
    for name, content in files.items():
        path = name.replace("__", "/").replace("_", ".")
        made.pop(path, None)
        if content is not None:
            made[path] = content
    return zipped(made)


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def depths(value: float) -> bytes:
    maps = {f"depth/{n:03d}.npy": npy(np.full((12, 16), 2.0)) for n in range(3)}
    maps["depth/001.npy"] = npy(np.where(np.arange(192).reshape(12, 16) == 7, value, 2.0))
    return zipped(good_files() | maps | {"depth.json": b'{"unit": "m", "scale": 1, "invalid": 0}'})


def keypoints(x: float) -> bytes:
    rows = {f"{n:03d}": [[x if n == 1 else 3, 4, 2]] for n in range(3)}
    return zipped(good_files() | {"keypoints.json": json.dumps({"keypoints": ["eye"], "images": rows}).encode()})


#: Row of the contract, content of the upload, what is told.
LABELS: list[tuple[str, Callable[[], bytes], Told]] = [
    ("truncated", lambda: tarred()[:3000], {"labels.zip": "truncated"}),
    ("encrypted", encrypted, {"classes.json": "is encrypted"}),
    ("nested", lambda: entries(("images/x.png", zipped({"a": b"b"}))), {"images/x.png": "archive"}),
    ("bad CRC", spoilt, {"notes.txt": "Bad CRC-32"}),
    ("../", lambda: entries(("../up.png", b"x")), {"../up.png": "leaves the archive"}),
    ("absolute", lambda: entries(("/etc/passwd", b"x")), {"/etc/passwd": "absolute"}),
    ("drive letter", lambda: entries(("C:/windows", b"x")), {"C:/windows": "drive letter"}),
    ("NUL", with_nul, {"evil.png\\x00.exe": "NUL"}),
    ("symlink", lambda: entries((soft_link(), b"/etc/passwd")), {"images/link.png": "link"}),
    ("hard link", lambda: tarred(special("hard", tarfile.LNKTYPE)), {"hard": "link"}),
    ("device", lambda: tarred(special("null", tarfile.CHRTYPE)), {"null": "device"}),
    ("duplicate", lambda: entries(("images/./000.png", b"x")), {"images/./000.png": "."}),
    ("case collision", lambda: entries(("images/X.png", b"x"), ("images/x.png", b"x")), {"images/x.png": "by case"}),
    ("ratio bomb", lambda: entries(("zeros", bytes(65 << 20))), {"zeros": "at most"}),
    ("many to one", lambda: entries(*((f"zeros{n}", bytes(33 << 20)) for n in range(2))), {"labels.zip": "unpacks to"}),
    ("too many entries", lambda: entries(*((f"x{n}", b"") for n in range(40_100))), {"labels.zip": "entries"}),
    ("lying sizes", lying, {"classes.json": ""}),
    ("pixel bomb", lambda: changed(images__000_png=raw_png(60_000, 60_000, 8, 2, b"")), {"images/000.png": "pixels"}),
    ("truncated image", lambda: changed(images__000_png=picture(photograph())[:90]), {"images/000.png": "truncated"}),
    ("animation", lambda: changed(images__000_png=None, images__000_webp=animated()), {"images/000.webp": "animation"}),
    (
        "polyglot",
        lambda: changed(images__000_png=picture(photograph()) + zipped({"a": b"b"})),
        {"images/000.png": "more than a PNG"},
    ),
    (
        "labels",
        lambda: changed(
            masks__000_png=None,
            images__001_png=None,
            masks__002_png=picture(mask(ids=(0, 1, 9))),
            masks__003_png=picture(mask(3, 16, 12)),
        ),
        {
            "images/000.png": "has no mask",
            "masks/001.png": "has no image",
            "masks/002.png": "class id 9",
            "masks/003.png": "is 12 x 16",
        },
    ),
    (
        "one class only",
        lambda: changed(**{f"masks__00{n}_png": picture(np.ones((12, 16), np.uint8)) for n in range(4)}),
        {"masks": "one class only"},
    ),
    ("NaN depth", lambda: depths(float("nan")), {"depth/001.npy": "negative, NaN"}),
    ("negative depth", lambda: depths(-1.0), {"depth/001.npy": "negative, NaN"}),
    ("keypoint outside", lambda: keypoints(400), {"keypoints.json": "outside"}),
    ("keypoint NaN", lambda: keypoints(float("nan")), {"keypoints.json": ""}),
]


def cmyk() -> bytes:
    return picture(Image.fromarray(photograph()).convert("CMYK"), "JPEG")


def deep() -> bytes:
    grey = np.random.default_rng(0).integers(0, 1 << 16, (12, 16), np.uint16)
    return picture(Image.fromarray(grey))


#: Odd and right all the same, with what is noted.
ODD: list[tuple[str, Callable[[], bytes], Told]] = [
    ("16-bit", lambda: changed(images__000_png=deep()), {"images/000.png": "16"}),
    ("CMYK", lambda: changed(images__000_png=None, images__000_jpg=cmyk()), {"images/000.jpg": "CMYK"}),
    (
        "chunks nobody knows",
        lambda: changed(
            images__000_png=raw_png(16, 12, 8, 2, (b"\0" + bytes(48)) * 12, png_chunk(b"prVt", b"<script>"))
        ),
        {},
    ),
]


class Calls:
    """Pickles as a call."""

    def __reduce__(self) -> Any:
        return eval, ("open('/tmp/offhand-was-here', 'w')",)


def saved(**changes: Any) -> bytes:
    """rosinality's file of a generator, with tensors in place of others, or without them."""
    state: dict[str, Any] = dict(writers.rosinality_state(writers.trained()))
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        assert name in state
        state[name] = tensor
        if tensor is None:
            del state[name]
    out = io.BytesIO()
    torch.save({"g_ema": state}, out)
    return out.getvalue()


def nested_deep() -> bytes:
    return b"\x80\x02N" + b"\x85" * 100_000 + b"."


def memo_bomb() -> bytes:
    rows = (b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 10 + b"e" for i in range(1, 100))
    return b"\x80\x02]q\x00" + b"".join(rows) + b"."


#: Row of the contract, the file, the job's error code, what is told (a pointer, or words of the detail under "").
CHECKPOINTS: list[tuple[str, Callable[[], bytes], str, Told]] = [
    ("a call", lambda: pickle.dumps({"G_ema": Calls()}, 4), "unsafe_checkpoint", {"builtins.eval": ""}),
    ("deep nesting", nested_deep, "unsafe_checkpoint", {"": "deep"}),
    ("memo bomb", memo_bomb, "bad_checkpoint", {"": "generator"}),
    ("missing tensor", lambda: saved(conv1__conv__weight=None), "bad_checkpoint", {"conv1.conv.weight": ""}),
    ("wrong shape", lambda: saved(conv1__conv__weight=torch.zeros(3)), "bad_checkpoint", {"conv1.conv.weight": ""}),
    ("NaN", lambda: saved(input__input=torch.full((1, 8, 4, 4), float("nan"))), "bad_checkpoint", {"input.input": ""}),
    ("sparse", lambda: saved(input__input=torch.zeros(3, 3).to_sparse()), "unsafe_checkpoint", {"": "sparse"}),
    ("objects", lambda: saved(input__input=np.array([{}], object)), "unsafe_checkpoint", {"": "plain numbers"}),
]


def send(http: httpx.Client, name: str, content: bytes) -> str:
    answer = http.post(
        f"/v1/uploads?filename={name}", content=content, headers={"Content-Type": "application/octet-stream"}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def start(http: httpx.Client, path: str, **wish: Any) -> str:
    answer = http.post(path, json=wish)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
def ended(undisturbed: Undisturbed) -> dict[str, dict[str, Any]]:
    """Every row's job, at its end (a label set that is right: once it is known)."""
    with httpx.Client(base_url=undisturbed.up.url, timeout=30) as http:
        jobs = {}
        for name, make, _ in LABELS + ODD:
            labels = send(http, "labels.zip", make())
            jobs[name] = start(http, "/v1/jobs", labels=labels, generator=tiny.NAME, count=1)
        for number, (name, make, _, _) in enumerate(CHECKPOINTS):
            source = send(http, "network.pkl", make())
            jobs[name] = start(http, "/v1/generators", source=source, name=f"hostile-{number}")
    with Client(undisturbed.up.url) as client:
        found = {}
        for name, job in jobs.items():
            for document in client.jobs.watch(job, every=0.05):
                found[name] = document
                if "label_set" in document["result"]:
                    client.jobs.cancel(job)
                    break
        return found


def agrees(job: dict[str, Any], told: Told) -> None:
    problems = {problem["pointer"]: problem["detail"] for problem in job["error"]["errors"]}
    for pointer, words in told.items():
        if pointer:
            assert words in problems[pointer]
        else:
            assert words in job["error"]["detail"] + str(problems)
    assert not job["error"]["retryable"]


@pytest.mark.parametrize(("row", "told"), [(row, told) for row, _, told in LABELS], ids=[row for row, *_ in LABELS])
def test_labels_that_are_refused(ended: dict[str, dict[str, Any]], row: str, told: Told) -> None:
    job = ended[row]
    assert (job["state"], job["error"]["code"]) == ("failed", "bad_label_set")
    agrees(job, told)
    assert len(job["error"]["errors"]) == len(told)


@pytest.mark.parametrize(("row", "noted"), [(row, noted) for row, _, noted in ODD], ids=[row for row, *_ in ODD])
def test_odd_images_are_decoded_right(
    ended: dict[str, dict[str, Any]], undisturbed: Undisturbed, row: str, noted: Told
) -> None:
    label_set = undisturbed.up.get(f"/v1/label-sets/{ended[row]['result']['label_set']}")
    notes = [(note["pointer"], note["text"]) for note in label_set["info"]["notes"]]
    assert {pointer for pointer, _ in notes} == noted.keys()
    assert all(any(pointer == at and words in text for at, text in notes) for pointer, words in noted.items())


@pytest.mark.parametrize(
    ("row", "code", "told"), [(row, *rest) for row, _, *rest in CHECKPOINTS], ids=[row for row, *_ in CHECKPOINTS]
)
def test_checkpoints_that_are_refused(ended: dict[str, dict[str, Any]], row: str, code: str, told: Told) -> None:
    job = ended[row]
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    agrees(job, told)
    assert not Path("/tmp/offhand-was-here").exists(), "something in the file ran"
