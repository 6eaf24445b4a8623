"""Pulling published weights from a local server that sends wrong bytes, cuts connections and redirects."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from core.evaluation.metrics.published_weights import TRUNKS, PublishedWeights
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.perceptual.weights import find_weights
from core.torchvision_import import import_torchvision
from store.errors import (
    DigestMismatch,
    EgressFailed,
    EgressRefused,
    InUse,
    InvalidRequest,
    NotFound,
    StorageFull,
    TooLarge,
)
from store.settings import Settings, WorkerSettings
from worker.weights import catalogue
from worker.weights import pull as pulling
from worker.weights.__main__ import listed
from worker.weights.catalogue import CATALOGUE
from worker.weights.folders import evaluation_folders, perceptual_caches, perceptual_weights, weights_folder
from worker.weights.pull import PullOptions, pull

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TRUSTED = PullOptions(trusted_hosts=["127.0.0.1"], silent_seconds=5.0)


class Site:
    """A web server whose answers a test sets. asked: (path, Range) of each request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, str | None]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers["Range"]))
                site.answers[self.path](self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def file(self, path: str, content: bytes = CONTENT, *, cut_after: int | None = None, ranges: bool = True) -> str:
        """A file; with `cut_after` each connection ends after so many bytes."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            asked = handler.headers["Range"]
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
            if begin >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206 if begin else 200)
            if begin:
                handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            handler.send_header("Content-Length", str(len(content) - begin))
            handler.end_headers()
            handler.wfile.write(content[begin : None if cut_after is None else begin + cut_after])

        self.answers[path] = answer
        return self.url(path)

    def redirect(self, path: str, location: str) -> str:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answers[path] = answer
        return self.url(path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def publish(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set where the catalogue finds `dinov2`, and its digest."""

    def set_source(url: str, sha256: str = DIGEST, **values: Any) -> None:
        changed = replace(CATALOGUE["dinov2"], url=url, sha256=sha256, **values)
        monkeypatch.setitem(catalogue.CATALOGUE, "dinov2", changed)

    return set_source


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("digest", [DIGEST, DIGEST[:8]])
def test_download_is_compared_with_the_whole_digest_or_its_beginning(
    site: Site, publish: Callable[..., None], tmp_path: Path, digest: str
) -> None:
    publish(site.file("/d.pth"), digest)
    seen: list[tuple[int, int]] = []
    found = pull("dinov2", tmp_path / "weights", TRUSTED, lambda *numbers: seen.append(numbers))
    assert (found.path, found.sha256, found.downloaded) == (tmp_path / "weights" / "dinov2.pth", DIGEST, True)
    assert found.path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert left_in(tmp_path / "weights") == ["dinov2.pth"]
    again = pull("dinov2", tmp_path / "weights", TRUSTED)
    assert (again.downloaded, len(site.asked)) == (False, 1)


def test_wrong_bytes_are_refused_with_both_digests(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.file("/d.pth", b"<html>sign in first</html>"))
    with pytest.raises(DigestMismatch) as caught:
        pull("dinov2", tmp_path, TRUSTED)
    found = hashlib.sha256(b"<html>sign in first</html>").hexdigest()
    assert f"expected SHA-256 {DIGEST}" in caught.value.detail
    assert f"found {found}, 26 bytes" in caught.value.detail
    assert left_in(tmp_path) == []


def test_cut_download_continues_where_it_ended(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.file("/d.pth", cut_after=100_000))
    assert pull("dinov2", tmp_path, TRUSTED).sha256 == DIGEST
    assert [begin for _, begin in site.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_cut_download_is_continued_by_the_next_call(
    site: Site, publish: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_FAILURES", 1)
    (tmp_path / "dinov2.pth.partial").write_bytes(CONTENT[:1000])
    publish(site.file("/d.pth", cut_after=0))
    with pytest.raises(EgressFailed, match="1000 bytes are kept; the same command continues"):
        pull("dinov2", tmp_path, TRUSTED)
    publish(site.file("/d.pth"))
    assert pull("dinov2", tmp_path, TRUSTED).sha256 == DIGEST
    assert site.asked[-1] == ("/d.pth", "bytes=1000-")


def test_host_that_ignores_ranges_sends_the_whole_file(
    site: Site, publish: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "dinov2.pth.partial").write_bytes(b"x" * 1000)
    publish(site.file("/d.pth", ranges=False))
    assert pull("dinov2", tmp_path, TRUSTED).sha256 == DIGEST


@pytest.mark.parametrize("kept", [b"of another file", b"x" * (len(CONTENT) + 5)])
def test_partial_file_of_something_else_is_downloaded_again(
    site: Site, publish: Callable[..., None], tmp_path: Path, kept: bytes
) -> None:
    (tmp_path / "dinov2.pth.partial").write_bytes(kept)
    publish(site.file("/d.pth"))
    assert pull("dinov2", tmp_path, TRUSTED).sha256 == DIGEST


def test_redirect_to_a_private_address_is_refused(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.redirect("/d.pth", "https://10.0.0.1/d.pth"))
    with pytest.raises(EgressRefused, match="not a public address"):
        pull("dinov2", tmp_path, TRUSTED)
    assert left_in(tmp_path) == []


def test_redirect_to_a_host_that_is_not_listed_is_refused(
    site: Site, publish: Callable[..., None], tmp_path: Path
) -> None:
    publish(site.redirect("/d.pth", "https://files.example.com/d.pth"))
    with pytest.raises(EgressRefused, match=r"files\.example\.com; expected one of these hosts: dl\.fb"):
        pull("dinov2", tmp_path, TRUSTED)


def test_listed_name_with_a_private_address_is_refused(publish: Callable[..., None], tmp_path: Path) -> None:
    publish("https://dl.fbaipublicfiles.com/d.pth")
    with pytest.raises(EgressRefused, match=r"169\.254\.169\.254 is not a public address"):
        pull("dinov2", tmp_path, PullOptions(lookup=lambda host, port: ["169.254.169.254"]))


def test_without_a_network_the_error_names_the_host_and_the_way_around(tmp_path: Path) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror

    with pytest.raises(EgressFailed) as caught:
        pull("vgg", tmp_path, PullOptions(lookup=nowhere))
    assert "download.pytorch.org cannot be resolved" in caught.value.detail
    assert "offhand weights pull vgg --from FILE" in caught.value.detail
    assert left_in(tmp_path) == []


def test_file_larger_than_expected_is_refused(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.file("/d.pth", bytes(3 << 20)), mib=1)
    with pytest.raises(TooLarge, match="3145728 bytes; 2097152 are allowed"):
        pull("dinov2", tmp_path, TRUSTED)
    assert left_in(tmp_path) == []


def test_mirror_is_asked_instead_of_the_publisher_and_compared_with_the_same_digest(
    site: Site, publish: Callable[..., None], tmp_path: Path
) -> None:
    publish("https://dl.fbaipublicfiles.com/d.pth")
    mirrored = replace(TRUSTED, source=site.file("/mirror/d.pth"))
    assert pull("dinov2", tmp_path, mirrored).sha256 == DIGEST
    with pytest.raises(DigestMismatch):
        pull("dinov2", tmp_path / "other", replace(TRUSTED, source=site.file("/wrong.pth", b"wrong")))


def test_file_is_copied_and_compared_without_a_network(publish: Callable[..., None], tmp_path: Path) -> None:
    publish("https://dl.fbaipublicfiles.com/d.pth")
    source = tmp_path / "stick" / "dinov2_vits14_pretrain.pth"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    assert pull("dinov2", tmp_path / "weights", PullOptions(str(source))).path.name == "dinov2.pth"
    source.write_bytes(CONTENT[:-1])
    with pytest.raises(DigestMismatch, match=f"{len(CONTENT) - 1} bytes"):
        pull("dinov2", tmp_path / "other", PullOptions(str(source)))
    with pytest.raises(NotFound, match="no such file"):
        pull("dinov2", tmp_path / "other", PullOptions(str(source) + "x"))
    assert source.exists()


def test_digest_of_the_operator_replaces_the_publishers(publish: Callable[..., None], tmp_path: Path) -> None:
    """A file of the same tensors in another form is found under a name that states no digest."""
    source = tmp_path / "vgg.safetensors"
    content = safetensors.torch.save({"features.0.weight": torch.zeros(1)})
    source.write_bytes(content)
    options = PullOptions(str(source), hashlib.sha256(content).hexdigest().upper())
    found = pull("vgg", tmp_path / "weights", options)
    assert found.path.name == "vgg16.safetensors"
    assert find_weights("vgg", tmp_path / "weights") == found.path
    assert not pull("vgg", tmp_path / "weights", options).downloaded
    with pytest.raises(DigestMismatch, match="which you gave"):
        pull("dinov2", tmp_path / "weights", PullOptions(str(source), "0" * 64))
    with pytest.raises(InvalidRequest, match="hexadecimal"):
        pull("dinov2", tmp_path / "weights", PullOptions(str(source), "sha256:0"))


def test_second_pull_at_the_same_time_is_refused(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.file("/d.pth"))
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InUse, match="another process"):
        pull("dinov2", tmp_path, TRUSTED)
    os.close(handle)
    assert pull("dinov2", tmp_path, TRUSTED).downloaded


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_named(site: Site, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(site.file("/d.pth"))
    (tmp_path / "dinov2.pth.partial").symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="OFFHAND_WORKER__WEIGHTS"):
        pull("dinov2", tmp_path, TRUSTED)


def test_catalogue_has_each_weights_file_that_the_service_looks_for(tmp_path: Path) -> None:
    assert {"vgg", "alex", "squeeze", "inception", "clip", "dinov2"} | set(TRUNKS.values()) == set(CATALOGUE)
    for name, one in CATALOGUE.items():
        assert one.url.startswith("https://")
        assert any(f"//{host}/" in one.url for host in one.hosts)
        (tmp_path / one.file).touch()
        if name in ("vgg", "alex", "squeeze"):
            assert find_weights(name, tmp_path) == tmp_path / one.file  # type: ignore[arg-type]
        else:
            assert PublishedWeights((tmp_path,)).find(name) == tmp_path / one.file


def test_pulled_weights_are_used_for_inversion_and_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    settings = Settings(worker=WorkerSettings(weights=str(tmp_path / "weights")))
    import_torchvision()
    from torchvision.models import squeezenet1_1

    source = tmp_path / "squeezenet1_1.pth"
    torch.save(squeezenet1_1().state_dict(), source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert perceptual_weights(settings) is None
    pulled = pull("squeeze", weights_folder(settings), PullOptions(str(source), digest))
    assert perceptual_weights(settings) == ("squeeze", pulled.path)
    chosen = choose_perceptual(None, None, size=(64, 64), caches=perceptual_caches(settings))
    assert chosen.name == "lpips-squeeze-v0.1"
    source.write_bytes(CONTENT)
    other = pull("inception", weights_folder(settings), PullOptions(str(source), DIGEST))
    assert PublishedWeights(evaluation_folders(settings)).find("inception") == other.path


def test_command_prints_one_json_document_with_the_result_or_the_error(
    site: Site, tmp_path: Path, repository: Path
) -> None:
    source = tmp_path / "file"
    source.write_bytes(CONTENT)
    environment = os.environ | {
        "OFFHAND_WORKER__WEIGHTS": str(tmp_path / "weights"),
        "OFFHAND_EGRESS__TRUSTED_HOSTS": '["127.0.0.1"]',
        "PYTHONPATH": str(repository),
    }

    def offhand(*words: str) -> tuple[int, Any]:
        command = [sys.executable, "-m", "offhand", "weights", *words, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
        return done.returncode, json.loads(done.stdout)

    status, (document,) = offhand("pull", "clip", "--from", site.file("/c"), "--sha256", DIGEST)
    assert (status, document["bytes"], document["sha256"]) == (0, len(CONTENT), DIGEST)
    status, error = offhand("pull", "clip", "alex", "--from", str(source))
    assert (status, error["error"]["code"]) == (1, "digest_mismatch")


def test_listing_compares_files_with_the_publishers_digests(tmp_path: Path, publish: Callable[..., None]) -> None:
    publish("https://dl.fbaipublicfiles.com/d.pth")
    settings = Settings(worker=WorkerSettings(weights=str(tmp_path)))
    (tmp_path / "clip.pth").write_bytes(CONTENT)
    (tmp_path / "dinov2.pth").write_bytes(CONTENT)
    found = {one["name"]: one for one in listed(settings, verify=True)}
    assert (found["clip"]["path"], found["clip"]["as_published"]) == (str(tmp_path / "clip.pth"), False)
    assert (found["dinov2"]["sha256"], found["dinov2"]["as_published"]) == (DIGEST, True)
    assert (found["inception"]["present"], found["inception"]["path"]) == (False, str(tmp_path / "inception.pth"))
