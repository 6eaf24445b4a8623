"""`offhand webhooks` against the real service."""

from __future__ import annotations

import json

from offhand.commands.webhooks import last_try
from tests.offhand.conftest import Run

#: A public address that nothing is sent to here: no deliverer runs.
TARGET = "https://93.184.215.14/hook"


def test_from_the_endpoint_to_its_log(run: Run) -> None:
    added = run("webhooks", "add", TARGET, "--event", "job.failed", "--json")
    assert added.exit_code == 0, added.output
    endpoint = json.loads(added.stdout)
    assert endpoint["events"] == ["job.failed"]
    assert endpoint["secret"].startswith("whsec_")
    listed = run("webhooks").stdout
    assert f"{endpoint['id']}  on     job.failed  {TARGET}" in listed
    assert endpoint["secret"] not in listed
    rotated = run("webhooks", "rotate", endpoint["id"], "--overlap", "1").stdout.strip()
    assert rotated.startswith("whsec_")
    assert rotated != endpoint["secret"]
    sent = json.loads(run("webhooks", "test", endpoint["id"], "--json").stdout)
    assert "webhook.test  pending" in run("webhooks", "log", endpoint["id"]).stdout
    again = json.loads(run("webhooks", "resend", endpoint["id"], sent["id"], "--json").stdout)
    assert again["message_id"] == sent["message_id"]
    assert run("webhooks", "rm", endpoint["id"]).exit_code == 0
    assert endpoint["id"] not in run("webhooks", "ls").stdout


def test_private_targets_are_refused(run: Run) -> None:
    refused = run("webhooks", "add", "https://127.0.0.1/hook")
    assert refused.exit_code == 4
    assert "#/url" in refused.output


def test_the_last_try_is_told() -> None:
    tries = [{"status": None, "error": "no answer"}, {"status": 503, "error": None}]
    assert last_try({"attempts": []}) == ""
    assert last_try({"attempts": tries[:1]}) == "1: no answer"
    assert last_try({"attempts": tries}) == "2: 503"
