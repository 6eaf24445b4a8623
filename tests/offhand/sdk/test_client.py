"""The SDK against the real service; what a worker would do is written into its database."""

from __future__ import annotations

import threading
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from offhand.errors import ClientError, DownloadFailed, JobFailed, Refused, Unreachable
from offhand.sdk.client import Client
from offhand.sdk.connection import service_url
from offhand.sdk.uploads import file_or_archive, is_id
from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import end_job, finish_dataset
from tests.servers import free_port
from tests.serving import ApiProcess


def test_from_labels_to_a_verified_folder(
    client: Client, labels: Path, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    sent: list[tuple[int, int]] = []
    upload = client.uploads.create(labels, lambda done, total: sent.append((done, total)))
    assert upload["state"] == "complete"
    assert sent[-1] == (labels.stat().st_size, labels.stat().st_size)
    job = client.datasets.generate(upload["id"], "tiny", 20, seed=7, labeler={"preset": "fast"})
    assert job["seed"] == 7
    manifest = finish_dataset(db, objects, job)
    states: list[str] = []
    ended = client.jobs.wait(job["id"], lambda job: states.append(job["state"]))
    assert ended["state"] == states[-1] == "succeeded"
    assert client.datasets.manifest(ended["result"]["dataset"]) == manifest
    folder = client.datasets.download(ended["result"]["dataset"], tmp_path / "heads")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "README.md",
        "contact_sheet.png",
        "manifest.json",
        "shards/000000.tar",
        "shards/000001.tar",
        "statistics.json",
    ]


def test_a_path_is_uploaded_on_the_way(client: Client, labels: Path) -> None:
    job = client.datasets.generate(labels, "tiny", 5)
    assert job["request"]["labels"].startswith("upl_")
    assert any(found["id"] == job["id"] for found in client.jobs.list(state="queued"))
    assert [event["name"] for event in client.jobs.events(job["id"])] == ["job.queued"]
    assert client.jobs.cancel(job["id"])["state"] in ("canceling", "canceled")
    with pytest.raises(JobFailed, match="canceled"):
        client.jobs.wait(job["id"])


def test_a_folder_is_packed_the_same_each_time(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"image")
    (folder / "classes.json").write_text("[]")
    (folder / ".DS_Store").write_text("dropping")
    with file_or_archive(folder) as archive, zipfile.ZipFile(archive) as zipped:
        assert sorted(zipped.namelist()) == ["classes.json", "images/a.png"]
    assert client.uploads.create(folder)["sha256"] == client.uploads.create(folder)["sha256"]
    with pytest.raises(ClientError, match="neither"):
        client.uploads.create(tmp_path / "nothing")


def test_why_a_job_failed_is_told_line_by_line(client: Client, labels: Path, db: Database) -> None:
    job = client.datasets.generate(labels, "tiny", 5)
    problems = [{"detail": "no mask for this image", "pointer": f"images/{n}.png"} for n in "ab"]
    with db.write() as connection:
        end_job(
            connection,
            job["id"],
            "failed",
            error_code="bad_label_set",
            error_detail="2 problems",
            error_retryable=False,
            error_problems=problems,
        )
    with pytest.raises(JobFailed) as failure:
        client.jobs.wait(job["id"])
    assert failure.value.code == "bad_label_set"
    lines = ["images/a.png: no mask for this image", "images/b.png: no mask for this image"]
    assert failure.value.lines == lines
    assert all(line in str(failure.value) for line in lines)


def test_a_refusal_lists_every_problem(client: Client) -> None:
    with pytest.raises(Refused) as refusal:
        client.datasets.generate("upl_none", "head64", 5)
    assert refusal.value.status == 422
    assert refusal.value.exit_code == 4
    assert refusal.value.lines == [
        "#/generator: no generator 'head64'; known: tiny",
        "#/labels: no upload or label set 'upl_none'",
    ]


def test_an_estimate_starts_nothing(client: Client, labels: Path) -> None:
    before = len(list(client.jobs.list()))
    assert client.datasets.estimate(labels, "tiny", 90)["candidates"] == 100
    assert len(list(client.jobs.list())) == before


def test_waiting_outlasts_a_restart(server: ApiProcess, labels: Path, db: Database, objects: ObjectStore) -> None:
    with Client(server.url, patience=60) as client:
        job = client.datasets.generate(labels, "tiny", 20)

        def restart() -> None:
            time.sleep(0.3)
            server.kill()
            finish_dataset(db, objects, job)
            server.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        assert client.jobs.wait(job["id"])["state"] == "succeeded"
        restarting.join()


def test_waiting_can_end_before_the_job(client: Client, labels: Path) -> None:
    job = client.datasets.generate(labels, "tiny", 5)
    with pytest.raises(TimeoutError, match="goes on"):
        client.jobs.wait(job["id"], timeout=0)


def test_waiting_for_a_queued_job_that_does_not_change_ends_in_time(client: Client, labels: Path) -> None:
    job = client.datasets.generate(labels, "tiny", 5)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"queued after 0\.3 s"):
        client.jobs.wait(job["id"], timeout=0.3)
    assert time.monotonic() - started < 2


def test_waiting_ends_in_time_when_the_service_stops_answering() -> None:
    answers = [httpx.Response(200, json={"id": "job_1", "state": "running"}, headers={"etag": '"1"'})]

    def answer(request: httpx.Request) -> httpx.Response:
        if answers:
            return answers.pop()
        raise httpx.ReadTimeout("no answer", request=request)

    started = time.monotonic()
    with Client(transport=httpx.MockTransport(answer)) as client, pytest.raises(TimeoutError, match="running"):
        client.jobs.wait("job_1", timeout=0.3)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("127.0.0.1:8321", "http://127.0.0.1:8321"),
        ("localhost:8321/", "http://localhost:8321"),
        ("http://service/v1", "http://service"),
        ("https://service/offhand/v1/", "https://service/offhand"),
    ],
)
def test_an_address_without_scheme_or_with_v1_is_understood(given: str, used: str) -> None:
    assert service_url(given) == used


@pytest.mark.parametrize("given", ["ftp://service", "http://", "http://a b", "http://host:port"])
def test_what_is_no_address_of_a_service_is_explained(given: str) -> None:
    with pytest.raises(ClientError, match="write it like http://"):
        Client(given)


def test_nobody_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, patience=0) as client, pytest.raises(Unreachable, match="offhand up"):
        list(client.generators.list())


def test_a_lost_answer_makes_nothing_twice(server: ApiProcess, labels: Path) -> None:
    """The first answer to each POST and PUT is lost on the way; the client asks again and gets the same thing."""

    class Lossy(httpx.BaseTransport):
        def __init__(self) -> None:
            self.real, self.lost = httpx.HTTPTransport(), set[tuple[str, str]]()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = self.real.handle_request(request)
            key = (request.method, request.url.path)
            if request.method != "GET" and key not in self.lost:
                self.lost.add(key)
                response.close()
                raise httpx.ReadError("the answer was lost", request=request)
            return response

        def close(self) -> None:
            self.real.close()

    with Client(server.url, transport=Lossy()) as client:
        before = len(list(client.uploads.list())), len(list(client.jobs.list()))
        client.datasets.generate(labels, "tiny", 5)
        after = len(list(client.uploads.list())), len(list(client.jobs.list()))
    assert after == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    ("text", "expected"), [("ls_1", True), ("upl_1", True), ("heads.zip", False), ("./ls_1", False)]
)
def test_what_is_an_id(text: str, expected: bool) -> None:
    assert is_id(text) is expected


def test_answers_that_are_no_problem_documents_are_told_too() -> None:
    def proxy(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<html>bad gateway</html>")

    with Client(patience=0, transport=httpx.MockTransport(proxy)) as client, pytest.raises(Refused, match="gateway"):
        list(client.generators.list())


def test_generators_are_listed(client: Client) -> None:
    assert [generator["name"] for generator in client.generators.list()] == ["tiny"]


def test_the_key_goes_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(answer)
    monkeypatch.delenv("OFFHAND_API_KEY", raising=False)
    Client("http://service", transport=transport).jobs.get("job_1")
    Client("http://service", transport=transport, api_key="ofh_1").jobs.get("job_1")
    monkeypatch.setenv("OFFHAND_API_KEY", "ofh_2")
    Client("http://service", transport=transport).jobs.get("job_1")
    assert seen == [None, "Bearer ofh_1", "Bearer ofh_2"]


def test_nothing_is_uploaded_for_a_wish_that_is_refused(client: Client, labels: Path) -> None:
    before = len(list(client.uploads.list()))
    with pytest.raises(Refused) as refused:
        client.datasets.generate(labels, "nobody", 0)
    assert {problem["pointer"] for problem in refused.value.problem["errors"]} == {"#/generator", "#/count"}
    assert len(list(client.uploads.list())) == before


def test_an_answer_that_is_still_being_made_is_waited_for() -> None:
    answers = [httpx.Response(409, json={"code": "idempotency_in_flight"}), httpx.Response(200, json={"id": "job_1"})]
    client = Client("http://service", transport=httpx.MockTransport(lambda request: answers.pop(0)))
    assert client.jobs.cancel("job_1") == {"id": "job_1"}


@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize(("flips", "arrives"), [(0, True), (2, True), (1000, False)])
def test_file_with_other_bytes_than_announced_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, redirected: bool, flips: int, arrives: bool
) -> None:
    monkeypatch.setattr("offhand.sdk.connection.time.sleep", lambda seconds: None)
    left = [flips]

    def answer(request: httpx.Request) -> httpx.Response:
        digest = {"X-Content-SHA256": sha256(b"a report").hexdigest()}
        if redirected and request.url.host == "service":
            return httpx.Response(302, headers={"Location": "http://storage/report", **digest})
        left[0] -= 1
        content = b"a report" if left[0] < 0 else b"a Report"
        return httpx.Response(200, content=content, headers={} if redirected else digest)

    with Client("http://service", patience=0.5, transport=httpx.MockTransport(answer)) as client:
        if arrives:
            assert client.evaluations.report_page("job_1") == b"a report"
        else:
            with pytest.raises(DownloadFailed, match="other bytes than the service announces"):
                client.evaluations.report_page("job_1")
