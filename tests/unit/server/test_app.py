"""The reference service's HTTP side: the ASGI application called directly."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.http import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_QUERY_BYTES
from kafkaroute.server.stores.file_store import FileStore

DATA = Path(__file__).parents[1] / "data"
RULES = (DATA / "contract-rules.yaml").read_text()
REQUIRED = "config_profile and channel query parameters are required"
BAR = "config_profile=durableWrite&channel=kafka%3A%2F%2Fexample.com%2Fbar"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


AUTH = {"authorization": basic("user1", "pass1")}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def app(path):
    return CatalogApp(FileStore(path))


def get(app, query="", headers=AUTH, *, path="/", method="GET", body=()):
    """(status, headers, decoded body)"""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    incoming = [
        {"type": "http.request", "body": part, "more_body": number < len(body) - 1}
        for number, part in enumerate(body)
    ] or [{"type": "http.request", "body": b"", "more_body": False}]
    sent = []

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, content = sent
    found = {k.decode(): v.decode() for k, v in start["headers"]}
    text = content["body"].decode()
    return start["status"], found, json.loads(text) if text else None


# The contract's table, request by request.

ONE = quote_plus("kafka://example.com/bar")
TWO = quote_plus("kafka://example.com/baz")
PROFILE = "config_profile=durableWrite"


@pytest.mark.parametrize(
    "query",
    [
        f"{PROFILE}&channel={ONE}",
        f"{PROFILE}&channel[0]={ONE}",
        f"{PROFILE}&channel[0]={ONE}&channel[1]={TWO}",
        f"{PROFILE}&channel%5B0%5D={ONE}&channel%5B1%5D={TWO}",
        f"{BAR}&kafka.env=prod&config_profile.type=producer&config_profile.env=prod",
        f"{PROFILE}&channel={ONE}&intent=produce&client_id=me",
    ],
)
def test_questions_that_are_answered(app, query):
    status, headers, body = get(app, query)
    assert status == 200
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert body["channel_mapping"]["bar"] == "c0t3"
    assert body["connection"] == {"bootstrap.servers": "b1.example.net:9092"}
    assert body["credentials"]["sasl.password"] == "kafka-pass"
    assert body["configuration"]["retries"] == 3
    assert body["configuration"]["enable.idempotence"] is True


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        (f"channel={ONE}", 400, REQUIRED),
        (PROFILE, 400, REQUIRED),
        ("", 400, REQUIRED),
        (f"{PROFILE}&channel[]={ONE}", 400, REQUIRED),
        (
            f"{PROFILE}&channel[0]={ONE}&channel[1]={quote_plus('kafka://example.org/bar')}",
            400,
            "All channels must have the same scheme and host",
        ),
        (
            f"{PROFILE}&channel[0]={ONE}&channel[1]={quote_plus('mqtt://example.com/bar')}",
            400,
            "All channels must have the same scheme and host",
        ),
        (f"{PROFILE}&channel=", 400, "Invalid channel URL"),
        (f"{PROFILE}&channel=kafka%3A%2F%2Fexample.com", 400, "Invalid channel URL"),
        (
            f"{PROFILE}&kafka.env=prod&channel={quote_plus('kafka://nowhere.net/bar')}",
            404,
            "No matching routing rule found",
        ),
        (f"config_profile=bogus&channel={ONE}", 404, "Configuration profile not found: bogus"),
    ],
)
def test_questions_that_are_refused(app, query, status, message):
    assert (status, {"message": message}) == get(app, query)[::2]


def test_a_channel_given_twice_is_no_server_error(app):
    status, _, body = get(app, f"{PROFILE}&channel={ONE}&channel={TWO}")
    assert status == 400
    assert "more than once" in body["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": basic("user1", "wrong")},
        {"authorization": basic("nobody", "pass1")},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"authorization": "Bearer abc"},
        {"authorization": "Basic"},
    ],
)
def test_wrong_callers(app, headers):
    status, found, body = get(app, BAR, headers)
    assert status == 401
    assert found["www-authenticate"].startswith("Basic ")
    assert body == {"message": "Unauthorized"}
    assert "etag" not in found


def test_caller_without_kafka_credentials(app):
    status, _, body = get(app, BAR, {"authorization": basic("user2", "pass2")})
    assert status == 404
    assert body["message"].startswith("Credential not found: ")


def test_no_entry_is_an_empty_mapping(app):
    status, _, body = get(app, f"{PROFILE}&channel={quote_plus('kafka://example.com/nope')}")
    assert (status, body["channel_mapping"]) == (200, {})
    query = f"{PROFILE}&channel[0]={ONE}&channel[1]={quote_plus('kafka://example.com/nope')}"
    assert get(app, query)[2]["channel_mapping"] == {"bar": "c0t3"}


@pytest.mark.parametrize("text", ["kafka://example.com/bar/", "kafka://example.com/bar?x=1"])
def test_key_without_slash_or_query(app, text):
    status, _, body = get(app, f"{PROFILE}&channel={quote_plus(text)}")
    assert (status, body["channel_mapping"]) == (200, {"bar": "c0t3"})


def test_unset_secret_is_an_empty_string(app, monkeypatch):
    monkeypatch.delenv("CC_USER1")
    status, _, body = get(app, BAR)
    assert (status, body["credentials"]["sasl.username"]) == (200, "")


def test_any_path_is_answered(app):
    assert get(app, BAR, path="/service-gateway")[0] == 200


# What the service adds.


def test_etag(app, path):
    _, headers, _ = get(app, BAR)
    etag = headers["etag"]
    assert get(app, BAR)[1]["etag"] == etag
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        status, again, body = get(app, BAR, AUTH | {"if-none-match": sent})
        assert (status, again["etag"], body) == (304, etag, None)
        assert "content-length" not in again
    assert get(app, BAR, AUTH | {"if-none-match": '"other"'})[0] == 200
    path.write_text(RULES.replace("c0t3", "c0t33"))
    app.store.refresh()
    status, headers, body = get(app, BAR, AUTH | {"if-none-match": etag})
    assert (status, body["channel_mapping"]) == (200, {"bar": "c0t33"})
    assert headers["etag"] != etag


def test_a_304_needs_the_right_caller(app):
    etag = get(app, BAR)[1]["etag"]
    assert get(app, BAR, {"if-none-match": etag})[0] == 401


def test_cache_control_where_configured(app, path):
    assert "cache-control" not in get(app, BAR)[1]
    path.write_text(RULES + "cache: {max_age: 30, stale_if_error: 3600}\n")
    app.store.refresh()
    assert get(app, BAR)[1]["cache-control"] == "private, max-age=30, stale-if-error=3600"
    assert get(app, BAR)[1]["vary"] == "Authorization"


def test_health_needs_no_caller(app):
    assert get(app, "", {}, path="/healthz")[::2] == (200, {"status": "ok", "version": 1})


def test_other_methods(app):
    status, headers, _ = get(app, BAR, method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, body = get(app, BAR, method="HEAD")
    assert (status, body) == (200, None)
    assert int(headers["content-length"]) > 100


def test_limits(app):
    assert get(app, BAR + "&x=" + "y" * MAX_QUERY_BYTES)[0] == 414
    assert get(app, BAR, AUTH | {"x": "y" * MAX_HEADER_BYTES})[0] == 431
    assert get(app, BAR, AUTH | {"content-length": str(MAX_BODY_BYTES + 1)})[0] == 413
    assert get(app, BAR, AUTH | {"content-length": "-1"})[0] == 413
    endless = [b"x" * 40_000, b"x" * 40_000, b""]
    assert get(app, BAR, AUTH | {"transfer-encoding": "chunked"}, body=endless)[0] == 413
    assert get(app, BAR, AUTH | {"content-length": "2"}, body=[b"{}"])[0] == 200


@pytest.mark.parametrize(
    "query",
    ["%", "%ff=%fe&channel=%00", "channel[0", "&&&=&", "channel[99999999999]=x", "a" * 5000],
)
def test_odd_queries_are_no_server_error(app, query):
    assert get(app, f"{PROFILE}&{query}")[0] == 400


def test_a_hashed_password(path):
    from kafkaroute.rules.passwords import hash_password

    path.write_text(RULES.replace("password: pass1", f'password_hash: "{hash_password("pw1")}"'))
    app = CatalogApp(FileStore(path))
    good = {"authorization": basic("user1", "pw1")}
    assert [get(app, BAR, good)[0] for _ in range(2)] == [200, 200]
    assert get(app, BAR)[0] == 401


def test_the_file_is_watched_while_it_is_served(path):
    app = CatalogApp(FileStore(path, watch_interval=0.01))

    async def scenario():
        incoming: asyncio.Queue = asyncio.Queue()
        outgoing: asyncio.Queue = asyncio.Queue()
        task = asyncio.create_task(app({"type": "lifespan"}, incoming.get, outgoing.put))
        await incoming.put({"type": "lifespan.startup"})
        assert (await outgoing.get())["type"] == "lifespan.startup.complete"
        path.write_text(RULES.replace("c0t3", "c0t99"))
        os.utime(path, ns=(1, 1))
        before = app.store.state
        for _ in range(2000):
            if app.store.state is not before:
                break
            await asyncio.sleep(0.01)
        await incoming.put({"type": "lifespan.shutdown"})
        assert (await outgoing.get())["type"] == "lifespan.shutdown.complete"
        await task

    asyncio.run(scenario())
    assert get(app, BAR)[2]["channel_mapping"] == {"bar": "c0t99"}


def test_no_secret_in_the_log(app, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    get(app, BAR)
    get(app, BAR, {"authorization": basic("user1", "wr0ng")})
    monkeypatch.delenv("CC_PASS1")
    get(app, BAR)
    for secret in ("user1", "pass1", "wr0ng", "kafka-user", "kafka-pass", basic("user1", "pass1")):
        assert secret not in caplog.text
    assert "answered 200" in caplog.text
