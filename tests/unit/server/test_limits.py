"""What a client cannot do to the service: take long, send much, or make it tell its insides."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path

import pytest
import uvicorn

from kafkaroute.server import http
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.connection import served_by
from kafkaroute.server.failures import told_without_texts
from kafkaroute.server.stores.file_store import FileStore

DATA = Path(__file__).parents[1] / "data"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
ONCE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OPEN = "config_profile=default&channel=kafka://h/orders"


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text((DATA / "open-rules.yaml").read_text())
    return CatalogApp(FileStore(path))


def served(app, scenario, head_timeout=2):
    """Run `scenario(port)` while `app` is served as ``kafkaroute serve`` does."""

    async def run():
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(**served_by(app, head_timeout=head_timeout))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(0.01)
                return await scenario(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task
            listener.close()

    return asyncio.run(run())


async def exchange(port, *parts, pause=0.0):
    """What the service says to `parts` until it hangs up or is silent for 10 s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        while True:
            async with asyncio.timeout(10):
                chunk = await reader.read(65_536)
            if not chunk:
                return found + b"<closed>"
            found += chunk
    except TimeoutError:
        return found
    except ConnectionError:
        return found + b"<closed>"
    finally:
        writer.close()


def test_a_head_that_never_ends_is_cut_off(app):
    async def scenario(port):
        return await asyncio.gather(
            exchange(port),
            exchange(port, b"GET / HTTP/1.1\r\nHost:"),
            exchange(port, *[b"x"] * 8, pause=0.5),
            exchange(port, GET, b"GET / HTT", pause=0.1),
            exchange(port, ONCE[:10], ONCE[10:], pause=0.1),
        )

    silent, half, trickle, later, whole = served(app, scenario)
    assert silent == half == b"<closed>"
    assert trickle.endswith(b"<closed>")
    assert later.startswith(b"HTTP/1.1 200 ")
    assert later.endswith(b"<closed>")
    assert whole.startswith(b"HTTP/1.1 200 ")


def test_an_answer_that_takes_long_is_not_cut_off(app):
    async def scenario(port):
        head = f"GET /?{OPEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        first = await exchange(port, head + b"\r\n")
        [etag] = [line for line in first.split(b"\r\n") if line.startswith(b"etag: ")]
        known = b"If-None-Match" + etag.removeprefix(b"etag") + b"\r\n"
        return await exchange(port, head + known + b"Prefer: wait=3\r\n\r\n")

    # Not much shorter than the answer takes: a busy machine needs its time for the head.
    assert served(app, scenario, 2).startswith(b"HTTP/1.1 304 ")


def test_a_body_that_never_comes_is_a_408(app, monkeypatch):
    monkeypatch.setattr(http, "BODY_TIMEOUT", 0.2)

    async def scenario(port):
        return await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")

    found = served(app, scenario)
    assert found.startswith(b"HTTP/1.1 408 ")
    assert b'{"message":"The body did not come in time"}' in found
    assert found.endswith(b"<closed>")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 is no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_as_json(app, sent):
    async def scenario(port):
        return await exchange(port, sent), await exchange(port, ONCE)

    found, after = served(app, scenario)
    head, _, body = found.removesuffix(b"<closed>").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/json" in head
    assert list(json.loads(body)) == ["message"]
    assert after.startswith(b"HTTP/1.1 200 ")


def call(app, path="/", query="", method="GET", headers=(), body=b""):
    sent = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers],
        "client": None,
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_an_unforeseen_error_tells_neither_client_nor_log_its_text(app, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)

    def broken(*_):
        try:
            raise KeyError("sasl.password=hunter2")
        except KeyError as error:
            raise RuntimeError("hunter2") from error

    monkeypatch.setattr(app.answers, "current", broken)
    assert call(app, query=OPEN) == (500, '{"message":"Internal error"}')
    assert "hunter2" not in caplog.text
    assert "RuntimeError at app.py:" in caplog.text
    assert "because of KeyError at test_limits.py:" in caplog.text
    assert "Traceback" not in caplog.text


def test_errors_that_cause_each_other_in_a_circle():
    first, second = ValueError("a"), TypeError("b")
    first.__cause__, second.__cause__ = second, first
    assert told_without_texts(first) == (
        "ValueError at an unknown place; because of TypeError at an unknown place"
    )


JSON = ("content-type", "application/json")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 415),
        ([("content-type", "text/plain")], 415),
        ([("content-type", "application/x-www-form-urlencoded")], 415),
        ([JSON, ("sec-fetch-site", "cross-site")], 403),
        ([JSON, ("sec-fetch-site", "same-site")], 403),
        # Nobody is an admin where the rules name no callers.
        ([JSON, ("sec-fetch-site", "same-origin")], 403),
        ([("content-type", "application/json; charset=utf-8")], 403),
    ],
)
def test_a_page_of_another_site_cannot_move_a_channel(app, headers, status):
    body = b'{"channel": "kafka://h/orders", "topic": "mine"}'
    length = ("content-length", str(len(body)))
    found, text = call(app, "/v1/moves", method="POST", headers=[*headers, length], body=body)
    assert found == status
    if status == 403:
        cross = any("-site" in value for _, value in headers)
        assert ("another site" in text) == cross
