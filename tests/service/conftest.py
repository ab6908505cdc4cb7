"""The service and what it stands on: a real PostgreSQL, requests without a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from kafkaroute.server.connection import served_by
from kafkaroute.testing.postgres import PostgresServer, PostgresUnavailable

REQUIRE_POSTGRES = "KAFKAROUTE_REQUIRE_POSTGRES"
RULES = (Path(__file__).parents[1] / "unit" / "data" / "moving-rules.yaml").read_text()
#: What the references in them stand for.
SECRETS = {
    "KAFKA_USER": "kafka-user-1",
    "KAFKA_PASS": "kafka-pass-1",
    "REGISTRY_USER": "sr:sr-pass",
}


@pytest.fixture(scope="session")
def postgres():
    """A server of its own; where none can be had the tests are skipped, or fail as CI asks."""
    try:
        server = PostgresServer()
    except PostgresUnavailable as error:
        if os.environ.get(REQUIRE_POSTGRES) == "1":
            pytest.fail(f"{REQUIRE_POSTGRES}=1, but: {error}")
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def database_url(postgres):
    return postgres.new_database()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Reply:
    def __init__(self, messages):
        start, content = messages
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}
        text = content["body"].decode()
        self.body = json.loads(text) if text else None


async def ask(
    app,
    query="",
    *,
    path="/",
    method="GET",
    user=("ops", "ops-pass"),
    headers=None,
    body=None,
    gone=None,
):
    """One request. `gone`: an asyncio.Event, set when the client hangs up."""
    head = dict(headers or {})
    if user is not None:
        head["authorization"] = basic(*user)
    content = (
        b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
    )
    if content:
        head |= {"content-length": str(len(content)), "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in head.items()],
        "client": ("127.0.0.1", 1),
    }
    incoming = [{"type": "http.request", "body": content, "more_body": False}]
    sent = []

    async def receive():
        if incoming:
            return incoming.pop(0)
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return Reply(sent)


class Served:
    """The application with its lifespan running: ``async with Served(app)``."""

    def __init__(self, app):
        self.app = app

    async def __aenter__(self):
        self._incoming = asyncio.Queue()
        self._outgoing = asyncio.Queue()
        self._task = asyncio.create_task(
            self.app({"type": "lifespan"}, self._incoming.get, self._outgoing.put)
        )
        await self._incoming.put({"type": "lifespan.startup"})
        assert (await self._outgoing.get())["type"] == "lifespan.startup.complete"
        return self.app

    async def __aexit__(self, *_):
        await self._incoming.put({"type": "lifespan.shutdown"})
        assert (await self._outgoing.get())["type"] == "lifespan.shutdown.complete"
        await self._task


@contextlib.contextmanager
def on_a_port(app, **tls):
    """`app` as `kafkaroute serve` runs it, in a thread; yields its URL."""
    config = uvicorn.Config(**served_by(app), **tls)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            end = time.monotonic() + 20
            while not server.started and thread.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
            assert server.started
            yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.polls.close()  # as the command does
            server.should_exit = True
            thread.join(20)


async def until(holds, seconds=10.0):
    """Wait until `holds()` is true; return what it returned."""
    async with asyncio.timeout(seconds):
        while not (found := holds()):  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.01)
    return found


@pytest.fixture
def client():
    """How tests ask: this module cannot be imported from there."""
    return SimpleNamespace(ask=ask, served=Served, on_a_port=on_a_port, until=until)


@pytest.fixture
def rules_text():
    return RULES


@pytest.fixture
def rules_path(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
