"""Answers that need no task of their own: the same bytes, the same refusals, in the same order."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from pathlib import Path

import pytest
import uvicorn

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.audit import AuditFile, AuditLog
from kafkaroute.server.connection import served_by
from kafkaroute.server.stores.file_store import FileStore

RULES = (Path(__file__).parents[1] / "data" / "contract-rules.yaml").read_text()
QUERY = "config_profile=durableWrite&kafka.env=prod&channel=kafka%3A%2F%2Fexample.com%2Fbar"


def asked(query=QUERY, *headers, user="user1", password="pass1", method="GET", path="/"):
    token = b64encode(f"{user}:{password}".encode()).decode()
    head = (f"{method} {path}?{query} HTTP/1.1", "Host: x", f"Authorization: Basic {token}")
    return "\r\n".join((*head, *headers, "", "")).encode()


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def reply(self):
        """(status, headers, body) of the next answer"""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body.decode()

    async def ask(self, *requests):
        self.writer.write(b"".join(requests))
        return [await self.reply() for _ in requests]

    async def closed(self):
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A function that runs ``scenario(client, app)``, and the requests that ASGI answered."""
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)

    def run(scenario, *, observers=(), **more):
        app = CatalogApp(FileStore(path), observers=observers)
        slow = []
        http = app._http

        async def counted(scope, receive, send):
            slow.append(scope["path"])
            await http(scope, receive, send)

        app._http = counted

        async def served():
            config = uvicorn.Config(**served_by(app, **more), port=0)
            config.timeout_keep_alive = 1
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            try:
                return await scenario(client, app, slow)
            finally:
                client.writer.close()
                server.should_exit = True
                await task

        return asyncio.run(served())

    return run


def test_what_is_remembered_is_answered_the_same_without_a_task(setting):
    async def scenario(client, app, slow):
        [first] = await client.ask(asked())
        assert slow == ["/"]
        [second] = await client.ask(asked())
        known = f"If-None-Match: {first[1]['etag']}"
        [unchanged] = await client.ask(asked(QUERY, known))
        [closing] = await client.ask(asked(QUERY, "Connection: keep-alive"))
        assert slow == ["/"]
        return first, second, unchanged, closing

    first, second, unchanged, again = setting(scenario)
    assert first[0] == 200
    assert json.loads(first[2])["credentials"]["sasl.password"] == "kafka-pass"
    for reply in (second, again):
        assert reply[0] == 200
        assert {**reply[1], "date": ""} == {**first[1], "date": ""}
        assert reply[2] == first[2]
    assert (unchanged[0], unchanged[2]) == (304, "")
    assert unchanged[1]["etag"] == first[1]["etag"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(password="wrong"), 401),
        (asked(user="nobody"), 401),
        (asked("channel=x"), 400),
        (asked(path="/healthz"), 200),
        (asked(method="HEAD"), 200),
        (asked(method="DELETE"), 405),
        (asked(QUERY, "Content-Length: 0"), 200),
        (asked(QUERY, "X-Long: " + "y" * 40_000), 431),
        (asked(QUERY + "&x=" + "y" * 31_000, "X-Long: " + "y" * 2_000), 200),
    ],
)
def test_everything_else_goes_the_long_way(setting, request_, status):
    async def scenario(client, app, slow):
        await client.ask(asked())
        client.writer.write(request_)
        async with asyncio.timeout(10):
            found = await client.reader.readuntil(b"\r\n")
        assert len(slow) == 2
        return int(found.split()[1])

    assert setting(scenario) == status


def test_who_may_not_ask_any_more_is_refused_at_once(setting):
    async def scenario(client, app, slow):
        await client.ask(asked(), asked())
        await asyncio.to_thread(
            app.store.change,
            lambda text: text.replace("password: pass1", "password: new"),
            author="",
        )
        return [
            status for status, _, _ in await client.ask(asked(), asked(), asked(password="new"))
        ]

    assert setting(scenario) == [401, 401, 200]


def test_pipelined_requests_are_answered_in_their_order(setting):
    async def scenario(client, app, slow):
        await client.ask(asked())
        kinds = [asked(), asked("channel=x"), asked(path="/healthz")]
        found = await client.ask(*(kinds * 20))
        return [status for status, _, _ in found], [body[:10] for _, _, body in found], len(slow)

    statuses, bodies, slow = setting(scenario)
    assert statuses == [200, 400, 200] * 20
    assert bodies == bodies[:3] * 20
    assert slow > 40


def test_one_connection_does_not_hold_up_the_others(setting):
    async def scenario(client, app, slow):
        await client.ask(asked())
        found = await client.ask(*([asked()] * 40))
        return [status for status, _, _ in found], len(slow)

    statuses, slow = setting(scenario)
    assert statuses == [200] * 40
    assert slow > 1


def test_a_trailer_is_no_header(setting):
    """A proxy that vouches for a header need not look at trailers."""
    seen = []

    async def scenario(client, app, slow):
        chunked = asked(QUERY, "Transfer-Encoding: chunked")
        await client.ask(chunked + b"0\r\nX-Forwarded-For: forged\r\n\r\n")
        await client.ask(asked(QUERY, "X-Forwarded-For: told"))

    setting(scenario, observers=[lambda request, _: seen.append(dict(request.headers))])
    assert [headers.get(b"x-forwarded-for") for headers in seen] == [None, b"told"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\n\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_heads_that_two_could_read_differently(setting, head, status):
    async def scenario(client, app, slow):
        [reply] = await client.ask(head)
        assert await client.closed()
        return reply

    found = setting(scenario)
    assert found[0] == status
    assert list(json.loads(found[2])) == ["message"]


def test_a_head_in_pieces_that_never_ends_is_bounded(setting):
    async def scenario(client, app, slow):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        sent = 0
        try:
            while sent < 10_000_000:
                client.writer.write(b"y" * 5_000)
                await client.writer.drain()
                sent += 5_000
                await asyncio.sleep(0.001)
        except ConnectionError:
            pass
        return sent

    assert setting(scenario) < 1_000_000


def test_nothing_is_upgraded_to(setting):
    async def scenario(client, app, slow):
        upgrade = (
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
        )
        [reply] = await client.ask(asked(QUERY, *upgrade))
        assert await client.closed()
        return reply

    assert setting(scenario)[0] == 200


def test_idle_and_dawdling_clients_are_hung_up_on(setting):
    async def idle(client, app, slow):
        loop = asyncio.get_running_loop()
        await client.ask(asked(), asked())
        started = loop.time()
        assert await client.closed()
        return loop.time() - started

    async def dawdling(client, app, slow):
        loop = asyncio.get_running_loop()
        await client.ask(asked(), asked())
        started = loop.time()
        try:
            for _ in range(300):
                client.writer.write(b"\r\n")  # which may stand before a request
                await client.writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        return loop.time() - started

    assert 0.5 < setting(idle, head_timeout=60) < 30
    assert 1.5 < setting(dawdling, head_timeout=2) < 20


def test_each_of_them_is_in_the_audit_log_after_a_normal_stop(setting, tmp_path):
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(str(path))

    async def scenario(client, app, slow):
        for number in range(50):
            await client.ask(asked(f"{QUERY}&client_id=c{number}"), asked())
        return len(slow)

    assert setting(scenario, observers=[AuditLog(audit.write)]) < 10
    audit.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("client_id") for line in lines] == [
        name for number in range(50) for name in (f"c{number}", None)
    ]
    assert {(line["status"], line["caller"], line["from"]) for line in lines} == {
        (200, "user1", "127.0.0.1")
    }
    assert all(re.fullmatch(r"[\dT:.-]+\+00:00", line["at"]) for line in lines)
    assert not {"pass1", "kafka-pass"} & set(path.read_text().split('"'))
