"""The audit log: every answer, and no secret."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from pathlib import Path

import pytest

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.audit import AuditFile, AuditLog
from kafkaroute.server.stores.file_store import FileStore

DATA = Path(__file__).parents[1] / "data"
QUERY = "config_profile=durableWrite&kafka.env=prod&channel=kafka%3A%2F%2Fexample.com%2Fbar"
AT = 1_800_000_000.25


@pytest.fixture
def lines(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")
    return []


@pytest.fixture
def app(tmp_path, lines):
    path = tmp_path / "rules.yaml"
    text = (DATA / "contract-rules.yaml").read_text()
    path.write_text(text.replace("password: pass1}", "password: pass1, admin: true}"))
    return CatalogApp(FileStore(path), observers=[AuditLog(lines.append, clock=lambda: AT)])


def ask(app, query=QUERY, *, user="user1", password="pass1", path="/", method="GET", **more):
    headers = {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
    body = more.pop("body", b"")
    if body:
        headers |= {"content-length": str(len(body)), "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in (headers | more).items()],
        "client": ("192.0.2.7", 4711),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


def test_who_asked_for_what_and_was_told_which_generation(app, lines):
    assert ask(app, f"{QUERY}&intent=produce&client_id=billing-1") == 200
    assert json.loads(lines[0]) == {
        "at": "2027-01-15T08:00:00.250+00:00",
        "status": 200,
        "method": "GET",
        "path": "/",
        "from": "192.0.2.7",
        "caller": "user1",
        "channels": [{"channel": "kafka://example.com/bar", "generation": 1}],
        "profile": "durableWrite",
        "intent": "produce",
        "client_id": "billing-1",
    }


def test_every_answer_has_a_line_whatever_becomes_of_it(app, lines, monkeypatch):
    assert ask(app, password="wrong") == 401
    assert ask(app, user="user2", password="pass2") == 404
    assert ask(app, "channel=x") == 400
    assert ask(app, method="DELETE") == 405
    assert ask(app, "x=" + "y" * 40_000) == 414
    assert ask(app, **{"x-long": "y" * 40_000}) == 431
    assert ask(app, **{"content-length": "999999"}) == 413
    assert ask(app, path="/healthz", user="", password="") == 200

    def broken(*_):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(app.answers, "current", broken)
    assert ask(app) == 500
    found = [json.loads(line) for line in lines]
    assert [one["status"] for one in found] == [401, 404, 400, 405, 414, 431, 413, 200, 500]
    assert [one["caller"] for one in found] == [None, "user2", "user1", *[None] * 5, "user1"]
    assert found[0]["channels"] == [{"channel": "kafka://example.com/bar"}]
    assert max(len(line) for line in lines) < 3_000


def test_a_move_names_what_moved(app, lines):
    body = json.dumps({"channel": "kafka://example.com/bar", "topic": "new"}).encode()
    assert ask(app, "", path="/v1/moves", method="POST", body=body) == 200
    assert json.loads(lines[0])["move"] == {
        "channel": "kafka://example.com/bar",
        "dry_run": False,
        "from": {"cluster": "c0", "topic": "c0t3", "generation": 1},
        "to": {"cluster": "c0", "topic": "new"},
    }


def test_no_secret_and_no_control_character(app, lines):
    ask(app, QUERY + "&token=s3cret&client_id=%0Aevil%1b[31m%e2%80%ae", password="wr0ng-pass")
    ask(app, QUERY, **{"x-forwarded-for": "10.0.0.1\t, 10.0.0.2"})
    ask(app, QUERY, authorization="Bearer abc.def.ghi")
    text = "".join(lines)
    for secret in ("s3cret", "wr0ng-pass", "pass1", "kafka-user", "kafka-pass", "abc.def"):
        assert secret not in text
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(lines[0])["client_id"].startswith("\nevil\x1b[31m")
    assert json.loads(lines[1])["forwarded_for"] == "10.0.0.1\t, 10.0.0.2"


def test_what_strangers_choose_is_bounded(app, lines):
    many = "&".join(f"channel[{number}]=kafka://h/{number}" for number in range(1_000))
    ask(app, f"config_profile=p&{many}")
    ask(app, f"config_profile=p&channel=kafka://h/{'x' * 3000}&client_id={'y' * 900}")
    assert max(len(line) for line in lines) < 5_000


def test_the_file_is_private_and_survives_rotation(tmp_path):
    now = [0.0]
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(str(path), clock=lambda: now[0])
    audit.write("one")
    assert path.stat().st_mode & 0o777 == 0o600
    path.rename(tmp_path / "audit.jsonl.1")
    audit.write("two")
    now[0] += 2
    audit.write("three")
    audit.close()
    assert (tmp_path / "audit.jsonl.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_line_that_cannot_be_written_is_told_once_a_minute(tmp_path, caplog):
    now = [0.0]
    audit = AuditFile("/dev/full", clock=lambda: now[0])
    for _ in range(5):
        audit.write("lost")
    now[0] += 61
    audit.write("lost")
    os.close(audit._file)
    assert [record.getMessage() for record in caplog.records] == [
        "the audit log lost 1 lines: No space left on device",
        "the audit log lost 5 lines: No space left on device",
    ]


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path):
    with pytest.raises(FileNotFoundError):
        AuditFile(str(tmp_path / "none" / "audit.jsonl"))
