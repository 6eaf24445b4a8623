"""The `offhand` command as people and pipelines use it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offhand.commands.delivery import quality_lines
from offhand.commands.jobs import job_text
from offhand.errors import ClientError, JobFailed
from offhand.sdk.client import Client
from offhand.terminal.options import request_settings
from offhand.terminal.output import Output
from offhand.terminal.progress import JobProgress
from offhand.terminal.tables import table
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from tests.api.worlds import INFO, end_job, finish_dataset, keep
from tests.offhand.conftest import Run, Worker
from tests.servers import free_port
from tests.serving import ApiProcess


def test_generate_in_one_command(run: Run, labels: Path, tmp_path: Path, finishing: Worker) -> None:
    out = tmp_path / "heads"
    wish = ["generate", str(labels), "--generator", "tiny", "--count", "20", "--seed", "3", "--out", str(out)]
    with finishing:
        text = run(*wish, "--preset", "fast", "--set", "labels_map.team=heads")
        again = run(*wish[:-1], str(tmp_path / "again"), "--json")
    assert text.exit_code == 0, text.stderr
    assert "20 labelled images" in text.stdout
    assert "checksums verified" in text.stdout
    assert str(out / "contact_sheet.png") in text.stdout
    assert "reading labels" in text.stderr or "job_" in text.stderr
    document = json.loads(again.stdout)
    assert document["job"]["state"] == "succeeded"
    assert document["job"]["seed"] == 3
    assert document["dataset"]["state"] == "ready"
    assert again.stderr == ""
    assert run("verify", str(out)).exit_code == 0
    (out / "shards" / "000000.tar").write_bytes(b"damaged")
    damaged = run("verify", str(out))
    assert damaged.exit_code == 5
    assert "shards/000000.tar" in damaged.stderr
    job = document["job"]["id"]
    assert run("download", job, "--out", str(tmp_path / "third")).exit_code == 0


def test_scores_warnings_and_reasons_against_are_the_last_lines(
    run: Run, client: Client, labels: Path, server: ApiProcess, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    wish = ["generate", str(labels), "--generator", "tiny", "--count", "20", "--out", str(tmp_path / "made")]
    with Worker(server, lambda job: finish_dataset(db, objects, job, info=INFO)):
        made = run(*wish)
    last = [
        "  held-out mIoU  0.430 on 2 labelled images kept aside",
        "  reconstruction median PSNR 16.3 dB, median lpips 0.412; 11 of 12 images flagged",
        "  warning        Only 12 labelled images.",
        "  RARE CLASS     'hat': 2 of 12 labelled images show it.",
        "  DO NOT USE     The generator cannot redraw the labelled images.",
    ]
    assert made.stdout.splitlines()[-5:] == last, made.stderr
    dataset = next(iter(client.datasets.list()))["id"]
    fetched = run("download", dataset, "--out", str(tmp_path / "fetched"))
    assert fetched.stdout.splitlines()[-5:] == last
    document = json.loads(run("download", dataset, "--out", str(tmp_path / "fetched"), "--json").stdout)
    assert (document["warnings"], document["evaluation"]) == (INFO["warnings"], None)
    assert document["quality"]["do_not_use"] == INFO["do_not_use"]


def test_the_verdict_of_an_evaluation_stands_beside_the_warnings() -> None:
    lines = quality_lines(
        {
            "quality": None,
            "warnings": ["Rare."],
            "evaluation": {
                "id": "job_1", "sentence": "Do not use it: 2 of 4 gates failed.", "recommended": "Train on labels.",
                "failed": ["too few"],
            },
        }
    )  # fmt: skip
    assert lines == [
        "  warning        Rare.",
        "  evaluation     Do not use it: 2 of 4 gates failed.",
        "  recommended    Train on labels.",
        "  failed         too few",
    ]


def test_an_alias_stands_for_the_dataset_it_points_at(
    run: Run, client: Client, labels: Path, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    job = client.datasets.generate(labels, "tiny", 5)
    manifest = finish_dataset(db, objects, job)
    client.aliases.set("heads-latest", manifest["dataset"])
    fetched = run("download", "heads-latest", "--out", str(tmp_path / "newest"), "--json")
    assert fetched.exit_code == 0, fetched.stderr
    assert json.loads(fetched.stdout)["dataset"]["id"] == manifest["dataset"]
    assert json.loads((tmp_path / "newest" / "manifest.json").read_text()) == manifest
    unknown = run("download", "heads-oldest", "--out", "nowhere")
    assert unknown.exit_code == 4
    assert "no alias 'heads-oldest'" in unknown.stderr
    assert run("download", "../v1/jobs", "--out", "nowhere").exit_code == 4


def test_a_job_can_be_started_and_looked_at_later(run: Run, labels: Path, db: Database) -> None:
    started = run("generate", str(labels), "--generator", "tiny", "--count", "5", "--json")
    job = json.loads(started.stdout)["id"]
    assert job in run("jobs").stdout
    assert json.loads(run("jobs", "--json", "--limit", "1").stdout)[0]["id"] == job
    assert "queued" in run("jobs", job).stdout
    early = run("download", job, "--out", "nowhere")
    assert early.exit_code == 4
    assert "Not finished" in early.stderr or "still being made" in early.stderr
    assert run("cancel", job).exit_code == 0
    watched = run("jobs", job, "--watch")
    assert watched.exit_code == 1
    assert "canceled" in watched.stderr
    document = json.loads(run("jobs", job, "--watch", "--json").stdout)
    assert "canceled" in document["error"]["detail"]


def test_a_failed_job_says_why(run: Run, labels: Path, server: ApiProcess, db: Database, tmp_path: Path) -> None:
    def fail(job: dict[str, Any]) -> None:
        problems = [{"detail": "no mask for this image", "pointer": "images/a.png"}]
        with db.write() as connection:
            columns = {"error_code": "bad_label_set", "error_detail": "1 problem", "error_problems": problems}
            end_job(connection, job["id"], "failed", error_retryable=False, **columns)

    with Worker(server, fail):
        failed = run("generate", str(labels), "--generator", "tiny", "--count", "5", "--out", str(tmp_path / "out"))
    assert failed.exit_code == 1
    assert "images/a.png: no mask for this image" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "out").exists(), "nothing was fetched, so nothing stays"


@pytest.mark.parametrize("out", ["project", "project/README.md", "project/README.md/heads"])
def test_a_folder_that_cannot_be_used_is_refused_before_the_job_starts(
    run: Run, client: Client, labels: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    before = len(list(client.jobs.list())), len(list(client.uploads.list()))
    refused = run("generate", str(labels), "--generator", "tiny", "--count", "5", "--out", str(tmp_path / out))
    assert refused.exit_code == 5
    assert str(tmp_path / out) in refused.stderr
    assert (len(list(client.jobs.list())), len(list(client.uploads.list()))) == before
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["README.md"]
    assert (tmp_path / "project" / "README.md").read_text() == "mine"


def test_force_goes_on_past_poor_reconstruction_and_replaces_no_file(
    run: Run, client: Client, labels: Path, tmp_path: Path
) -> None:
    words = ["generate", str(labels), "--generator", "tiny", "--count", "5", "--force"]
    started = json.loads(run(*words, "--json").stdout)
    assert started["request"]["force"] is True
    client.jobs.cancel(started["id"])
    (tmp_path / "README.md").write_text("mine")
    refused = run(*words, "--out", str(tmp_path))
    assert refused.exit_code == 5
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "README.md").read_text() == "mine"


def test_overwrite_replaces_files_and_does_not_go_on_past_poor_reconstruction(
    run: Run, labels: Path, tmp_path: Path, finishing: Worker
) -> None:
    (tmp_path / "README.md").write_text("mine")
    words = ["generate", str(labels), "--generator", "tiny", "--count", "5", "--overwrite", "--out", str(tmp_path)]
    with finishing:
        made = run(*words, "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["job"]["request"]["force"] is False
    assert (tmp_path / "README.md").read_text() != "mine"


def test_a_download_that_fails_after_the_job_names_the_command_that_fetches_it(
    run: Run, labels: Path, server: ApiProcess, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def finish(job: dict[str, Any]) -> None:
        (out / "contact_sheet.png").mkdir()  # where a file is to be written
        finish_dataset(db, objects, job)

    with Worker(server, finish):
        failed = run("generate", str(labels), "--generator", "tiny", "--count", "5", "--out", str(out))
    assert failed.exit_code == 5
    (job,) = re.findall(r"^job (job_\w+)", failed.stderr, re.MULTILINE)
    assert f"offhand download {job} --out {out}" in failed.stderr.splitlines()[-1]


def a_job(state: str, steps: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    titles = {"validate": "reading labels", "invert": "inverting images"}
    made = [{"name": name, "title": titles[name], "state": at, "done": 3, "total": 6} for name, at in steps]
    blank: dict[str, Any] = {
        "queue_position": None,
        "estimated_finish_at": None,
        "result": {},
        "error": None,
        "seed": 1,
    }
    counts = {"done": 0, "total": 5, "rejected": 0, "failed": 0}
    return {"id": "job_1", "kind": "generate", "state": state, "steps": made, "counts": counts, **blank, **more}


def test_the_place_in_the_queue_is_printed_to_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [("validate", "pending"), ("invert", "pending")]
    with JobProgress(Output(as_json=False)) as show:
        for position in (2, 2, 1):
            show(a_job("queued", steps, queue_position=position))
        show(a_job("running", [("validate", "running"), ("invert", "pending")]))
    assert capsys.readouterr().err.splitlines() == [
        "waiting: number 2 in the queue",
        "waiting: number 1 in the queue",
        "reading labels: running 3/6",
    ]


def test_the_place_in_the_queue_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with JobProgress(Output(as_json=False)) as show:
        show(a_job("queued", [("validate", "pending")], queue_position=2))
    assert re.search(r"waiting:.*number 2 in the queue", terminal.getvalue())


def test_lines_about_a_long_step_become_fewer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("offhand.terminal.progress.time.monotonic", lambda: clock[0])
    with JobProgress(Output(as_json=False)) as show:
        for _ in range(3600):
            clock[0] += 1.0
            show(a_job("running", [("invert", "running")]))
    assert 25 < len(capsys.readouterr().err.splitlines()) < 40, "an hour is about every two minutes"


def test_a_failed_job_is_shown_with_its_one_error_and_no_later_steps(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "bad_label_set", "detail": "1 problem", "retryable": False, "errors": []}
    failed = a_job("failed", [("validate", "failed"), ("invert", "canceled")], error=error)
    with JobProgress(Output(as_json=False)) as show:
        show(failed)
    told = capsys.readouterr().err + job_text(failed)
    assert "bad_label_set: 1 problem" in told
    assert "cancel" not in told
    assert "resume" not in told


def test_a_failure_that_may_pass_names_the_command_that_tries_again() -> None:
    error = {"code": "out_of_memory", "detail": "no memory", "retryable": True, "errors": []}
    failed = a_job("failed", [("validate", "failed")], error=error)
    assert "offhand resume job_1" in job_text(failed)
    assert "offhand resume job_1" in str(JobFailed(failed))


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["generate", "LABELS", "--generator", "head64", "--count", "5"], 4, "known: tiny"),
        (["generate", "LABELS", "--generator", "tiny", "--count", "0"], 4, "#/count"),
        (["generate", "LABELS", "--generator", "tiny", "--count", "1000000000"], 4, "#/count"),
        (["generate", "LABELS", "--generator", "tiny", "--count", "many"], 2, "--count"),
        (["generate", "nothing.zip", "--generator", "tiny", "--count", "5"], 1, "nothing.zip"),
        (["generate", "README.md", "--generator", "tiny", "--count", "5"], 4, "zip"),
        (["generate", "LABELS", "--generator", "tiny", "--count", "5", "--set", "x"], 1, "NAME=VALUE"),
        (["generate", "LABELS", "--generator", "tiny", "--count", "5", "--set", "surprise=1"], 4, "#/surprise"),
        (["jobs", "job_none"], 4, "job_none"),
        (["cancel", "job_none"], 4, "job_none"),
        (["resume", "job_none"], 4, "job_none"),
        (["download", "ds_none", "--out", "nowhere"], 4, "ds_none"),
        (["surprise"], 2, "surprise"),
    ],
)
def test_what_is_wrong_is_told_clearly(run: Run, labels: Path, words: list[str], status: int, told: str) -> None:
    result = run(*[str(labels) if word == "LABELS" else word for word in words])
    assert result.exit_code == status, result.stderr
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_errors_are_json_for_programs(run: Run, labels: Path) -> None:
    result = run("generate", str(labels), "--generator", "no", "--count", "5", "--json")
    assert result.exit_code == 4
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "invalid_request"
    assert error["problems"] == ["#/generator: no generator 'no'; known: tiny"]


def test_nobody_there(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    result = run("generators", url=url)
    assert result.exit_code == 3
    assert "offhand up" in result.stderr
    assert time.monotonic() - started < 40


def test_a_dry_run_reads_the_labels_and_starts_no_dataset(
    run: Run, client: Client, labels: Path, server: ApiProcess, db: Database
) -> None:
    facts = {"images": 50, "classes": [{"id": 0, "name": "background"}], "detected_format": "zip"}
    facts |= {"notes": [{"text": "turned upright (EXIF orientation 6)", "pointer": "images/a.jpg"}]}

    def read(job: dict[str, Any]) -> None:
        assert (job["kind"], job["request"]["labeler"]["members"]) == ("check_labels", 3)
        with db.write() as connection:
            add_made(connection, "local", NewMade("label_set", "ls_dry", "dry", facts))
            end_job(connection, job["id"], "succeeded", result={"label_set": "ls_dry"})

    before = {job["id"] for job in client.jobs.list()}
    wish = ["generate", str(labels), "--generator", "tiny", "--count", "90", "--dry-run", "--set", "labeler.members=3"]
    with Worker(server, read):
        text = run(*wish)
        document = json.loads(run(*wish, "--json").stdout)
    assert text.exit_code == 0, text.stderr
    assert "50 images, 1 classes, read as zip" in text.stdout
    assert "images/a.jpg turned upright" in text.stdout
    assert "no job with this generator was measured" in text.stdout
    assert (document["candidates"], document["labels_checked"], document["rough"]) == (100, True, True)
    assert document["label_set"]["id"] == "ls_dry"
    assert {job["kind"] for job in client.jobs.list() if job["id"] not in before} == {"check_labels"}


def test_a_dry_run_reports_what_is_wrong_with_the_labels(
    run: Run, labels: Path, server: ApiProcess, db: Database
) -> None:
    def fail(job: dict[str, Any]) -> None:
        assert job["request"]["composition"][0]["class"] == "hatt"
        problems = [{"detail": "no class 'hatt'; there are hat", "pointer": "/composition/0/class"}]
        with db.write() as connection:
            columns = {"error_code": "bad_sampling", "error_detail": "1 problem", "error_problems": problems}
            end_job(connection, job["id"], "failed", error_retryable=False, **columns)

    steered = 'composition=[{"class":"hatt","min_fraction":0.5}]'
    with Worker(server, fail):
        result = run("generate", str(labels), "--generator", "tiny", "--count", "90", "--dry-run", "--set", steered)
    assert result.exit_code == 1
    assert "/composition/0/class: no class 'hatt'" in result.stderr
    assert result.stdout == ""


def test_generators(run: Run) -> None:
    assert "tiny" in run("generators").stdout
    assert json.loads(run("generators", "--json").stdout)[0]["licence"] == "CC0-1.0"


def test_doctor_looks_at_everything(run: Run) -> None:
    findings = {f["name"]: f for f in json.loads(run("doctor", "--json").stdout)}
    assert findings["python"]["ok"] is True
    assert "no worker" in findings["service"]["detail"]
    assert "is not the service of" in findings["deployment"]["detail"], "its data lies elsewhere"
    away = run("doctor", "--json", url=f"http://127.0.0.1:{free_port()}")
    findings = {f["name"]: f for f in json.loads(away.stdout)}
    assert findings.keys() >= {"database", "objects", "broker", "device", "disk"}, "what a worker here would find"
    assert "offhand up" in findings["service"]["detail"]


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(
    server: ApiProcess, repository: Path, labels: Path, tmp_path: Path
) -> None:
    words = ["generate", str(labels), "--generator", "tiny", "--count", "5", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "offhand", *words, "--url", server.url],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Client(server.url) as client:
        job = newest_job(client, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"offhand jobs {job} --watch" in told
        assert f"offhand cancel {job}" in told
        assert "Traceback" not in told
        assert client.jobs.get(job)["state"] == "queued"


def test_ctrl_c_on_a_terminal_asks(server: ApiProcess, repository: Path, labels: Path, tmp_path: Path) -> None:
    words = ["generate", str(labels), "--generator", "tiny", "--count", "5", "--out", str(tmp_path / "out")]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "offhand", *words, "--url", server.url],
        cwd=repository,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with Client(server.url) as client, os.fdopen(ours, "r+b", buffering=0) as terminal:
        job = newest_job(client, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        shown = b""
        while b"Cancel job_" not in shown:
            shown += terminal.read(1000)
        terminal.write(b"y\n")
        assert process.wait(30) == 130
        assert client.jobs.get(job)["state"] in ("canceling", "canceled")


def newest_job(client: Client, process: subprocess.Popen[Any]) -> str:
    """The id of the job that the process starts."""
    known = {job["id"] for job in client.jobs.list()}
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        assert process.poll() is None
        fresh = [job["id"] for job in client.jobs.list() if job["id"] not in known]
        if fresh:
            return str(fresh[0])
        time.sleep(0.05)
    raise AssertionError("no job was started")


def test_settings_are_nested_by_their_names() -> None:
    settings = request_settings(
        ["labeler.members=5", "fit=pad", "inversion.steps=null"], {"seed": 1, "labeler.preset": "fast"}
    )
    assert settings == {
        "seed": 1,
        "labeler": {"preset": "fast", "members": 5},
        "fit": "pad",
        "inversion": {"steps": None},
    }


def test_sampling_settings_and_fields_of_the_request_are_combined() -> None:
    settings = request_settings(["sampling.noise=none"], {"name": None}, ["truncation_psi=0.5"])
    assert settings == {"sampling": {"noise": "none", "truncation_psi": 0.5}}
    with pytest.raises(ClientError, match="--setting truncation_psi: write NAME=VALUE"):
        request_settings(None, {}, ["truncation_psi"])


def test_tables_line_up() -> None:
    assert table(["A", "BB"], [["xxx", "y"]]) == "A    BB\nxxx  y"


def test_an_export_in_one_command(
    run: Run, labels: Path, tmp_path: Path, server: ApiProcess, db: Database, objects: ObjectStore
) -> None:
    started = json.loads(run("generate", str(labels), "--generator", "tiny", "--count", "20", "--json").stdout)
    finish_dataset(db, objects, started)

    def finish(job: dict[str, Any]) -> None:
        keep(db, objects, job["result"]["dataset"], "exports/voc.zip", b"PK voc", "application/zip")
        with db.write() as connection:
            end_job(connection, job["id"], "succeeded")

    with Worker(server, finish):
        made = run("export", started["id"], "--format", "voc")
    assert made.exit_code == 0, made.stderr
    assert "6 bytes" in made.stdout
    fetched = run("download", started["id"], "--format", "voc", "--out", str(tmp_path / "voc.zip"), "--json")
    assert json.loads(fetched.stdout)["file"] == str(tmp_path / "voc.zip")
    assert (tmp_path / "voc.zip").read_bytes() == b"PK voc"
    kept = "exports/voc-split-0.2-7.zip"

    def finish_split(job: dict[str, Any]) -> None:
        assert (job["request"]["split"], job["request"]["split_seed"]) == (0.2, 7)
        keep(db, objects, job["result"]["dataset"], kept, b"PK split", "application/zip")
        with db.write() as connection:
            end_job(connection, job["id"], "succeeded")

    with Worker(server, finish_split):
        target = str(tmp_path / "split.zip")
        options = ("--format", "voc", "--split", "0.2", "--split-seed", "7")
        made = run("export", started["id"], *options, "--out", target)
    assert made.exit_code == 0, made.stderr
    assert (tmp_path / "split.zip").read_bytes() == b"PK split"
    unknown = run("export", started["id"], "--format", "tiff")
    assert unknown.exit_code == 4
    assert "format" in unknown.stderr


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout == "offhand 0.1.0\n"


@pytest.mark.parametrize("words", [("jobs", "--limit", "many"), ("generate",), ("dataset",), ("jobs", "--nothing")])
def test_a_wrong_command_line_is_reported_as_json_with_json(run: Run, words: tuple[str, ...]) -> None:
    wrong = run(*words, "--json")
    assert wrong.exit_code == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "usage"
    plain = run(*words)
    assert (plain.exit_code, plain.stdout) == (2, "")
