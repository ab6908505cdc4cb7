"""`kafkaroute serve` as its users start it: a process, a port, HTTP."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from kafkaroute import resolve
from kafkaroute.cli import main

DATA = Path(__file__).parents[1] / "data"
RULES = (DATA / "contract-rules.yaml").read_text()
QUERY = "config_profile=durableWrite&channel=kafka%3A%2F%2Fexample.com%2Fbar"


@pytest.fixture
def rules_path(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def service(rules_path):
    """(process, base URL) of a running service."""
    env = os.environ | {"CC_USER1": "kafka-user", "CC_PASS1": "kafka-pass"}
    command = [sys.executable, "-m", "kafkaroute.cli", "serve", str(rules_path), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith(f"kafkaroute: serving {rules_path} on http://127.0.0.1:")
            yield process, line.split()[-1]
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def test_answers_follows_the_file_and_stops(service, rules_path):
    process, url = service
    with requests.Session() as session:
        session.auth = ("user1", "pass1")
        first = session.get(f"{url}/?{QUERY}", timeout=30)
        assert first.status_code == 200
        assert first.json()["channel_mapping"] == {"bar": "c0t3"}
        etag = {"If-None-Match": first.headers["ETag"]}
        unchanged = session.get(f"{url}/?{QUERY}", headers=etag, timeout=30)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert session.get(f"{url}/healthz", auth=("", ""), timeout=30).json()["status"] == "ok"

        rules_path.write_text("clusters: [")
        deadline = time.monotonic() + 30
        while not session.get(f"{url}/healthz", auth=("", ""), timeout=30).json().get("problems"):
            assert time.monotonic() < deadline, "the broken file was not noticed"
            time.sleep(0.05)
        assert session.get(f"{url}/?{QUERY}", timeout=30).json() == first.json()
        rules_path.write_text(RULES.replace("c0t3", "c0t300"))
        deadline = time.monotonic() + 30
        while session.get(f"{url}/?{QUERY}", headers=etag, timeout=30).status_code == 304:
            assert time.monotonic() < deadline, "the change was not followed"
            time.sleep(0.05)
        moved = session.get(f"{url}/?{QUERY}", timeout=30).json()
        assert moved["channel_mapping"] == {"bar": "c0t300"}

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    assert "the last sound rules stay in force" in err
    assert "Traceback" not in err
    for secret in ("user1", "pass1", "kafka-user", "kafka-pass"):
        assert secret not in err


def test_a_large_body_is_refused_and_the_service_lives_on(service):
    _, url = service
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000)
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n")
        assert raw.recv(100).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert requests.get(f"{url}/healthz", timeout=30).status_code == 200


def test_the_http_catalog_reads_it(service):
    _, url = service
    route = resolve(
        "kafka://example.com/baz",
        {
            "service_gateway_uri": url,
            "basic_auth": ("user1", "pass1"),
            "config_profile": "durableWrite",
            "additional_params": {"kafka": {"env": "prod"}, "config_profile": {"env": "prod"}},
        },
    )
    assert route.topic == "c0t4"
    assert route.generation == 7
    assert route.client_config()["sasl.password"] == "kafka-pass"


def test_logging_is_left_as_it_was(tmp_path):
    names = ("kafkaroute", "uvicorn")
    before = [(list(logging.getLogger(n).handlers), logging.getLogger(n).level) for n in names]
    assert main(["serve", str(tmp_path / "missing.yaml")]) != 0
    after = [(list(logging.getLogger(n).handlers), logging.getLogger(n).level) for n in names]
    assert after == before
