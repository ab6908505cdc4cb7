"""The page for people, without a browser: who may see it, what is on it, what never is."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from html import unescape
from pathlib import Path

import pytest

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.pages import channels as channels_view
from kafkaroute.server.pages import handler
from kafkaroute.server.stores.file_store import FileStore

DATA = Path(__file__).parents[2] / "data"
RULES = (
    (DATA / "contract-rules.yaml")
    .read_text()
    .replace("password: pass1}", "password: pass1, admin: true}")
)
BAR = "kafka://example.com/bar"
ASK = f"config_profile=durableWrite&kafka.env=prod&channel={BAR}"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("CC_USER1", "the-kafka-user")
    monkeypatch.setenv("CC_PASS1", "the-kafka-pass")
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def app(path):
    return CatalogApp(FileStore(path))


def get(app, query="", *, user="user1", password="pass1", accept="text/html", path="/"):
    """(status, headers, text)"""
    headers = {"accept": accept}
    if user is not None:
        headers["authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": None,
    }
    asyncio.run(app(scope, None, send))
    found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"].decode()


def words(text):
    """What a reader sees of a page, in one line."""
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(unescape(bare).split())


def test_who_may_see_it(app, path):
    assert get(app)[0] == 200
    status, headers, text = get(app, user=None)
    assert (status, text) == (401, '{"message":"Unauthorized"}')
    assert headers["www-authenticate"].startswith("Basic")
    status, _, text = get(app, user="user2", password="pass2")
    assert status == 403
    assert "admin" in text
    path.write_text((DATA / "open-rules.yaml").read_text())
    app.store.refresh()
    assert get(app, user=None)[0] == 200


@pytest.mark.parametrize(
    ("query", "accept"),
    [(ASK, "text/html"), (ASK, "*/*"), ("", "*/*"), ("channel[0]=x", "text/html"), ("", "")],
)
def test_questions_of_the_contract_are_no_page(app, query, accept):
    _, headers, _ = get(app, query, accept=accept)
    assert headers["content-type"].startswith("application/json")


def test_what_protects_it(app):
    _, headers, text = get(app)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["vary"] == "Accept, Authorization"
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert " style=" not in text
    assert not re.search(r"\son\w+=", text)


def test_where_channels_live_and_who_followed(app, path):
    for client in ("one", "two"):
        assert get(app, f"{ASK}&client_id={client}&intent=produce", accept="")[0] == 200
    text = words(get(app)[2])
    assert f"{BAR} Topic c0t3 on c0 , generation 1 2 clients lately Caller" in text
    assert "user1 one produce 1 follows 0 s ago" in text
    assert "not yet" not in text

    path.write_text(RULES.replace("bar: c0t3", "bar: c0t33"))
    app.store.refresh()
    get(app, f"{ASK}&client_id=two&intent=produce", accept="")
    page = get(app)[2]
    text = words(page)
    assert f"{BAR} Topic c0t33 on c0 , generation 2 Before: c0t3 on c0, until 20" in text
    assert "2 clients lately: 1 not yet on this generation" in text
    # Those that are behind come first, and their channel is unfolded.
    assert text.index("user1 one produce 1 not yet") < text.index("user1 two produce 2 follows")
    assert "<details open>" in page


def test_a_channel_that_lives_nowhere_any_more(app, path):
    get(app, ASK, accept="")
    path.write_text(RULES.replace("bar: c0t3", "other: c0t3"))
    app.store.refresh()
    text = words(get(app)[2])
    assert f"{BAR} The rules name no place for it now. 1 client lately" in text
    assert "user1 1 unknown" in text


def test_clusters_and_profiles(app):
    text = words(get(app)[2])
    assert "c0 Tags: env: prod bootstrap.servers b1.example.net:9092" in text
    assert (
        "scheme: kafka, host: example\\.com, path: /[^/]+ : topic by the last path segment" in text
    )
    assert "2 entries bar c0t3 baz c0t4" in text
    assert "host: example\\.com, path: /deep/.* : topic deep.{segment:2}.{key}" in text
    assert "host: example\\.org : topic {team}-{2}" in text
    assert "every channel : topic by the last path segment" in text
    assert "durableWrite Tags: type: producer, env: prod acks all retries 3" in text
    assert "enable.idempotence true" in text


def resolved(app, query):
    text = get(app, query)[2]
    start = text.index('<div id="result"')
    return words(text[start : text.index("</section>", start)])


def test_the_resolve_box(app):
    good = f"resolve={BAR}&with=durableWrite&as=user1&for=produce&more=kafka.env%3Dprod"
    found = resolved(app, good)
    assert found.startswith(f"{BAR} Topic c0t3 Cluster c0 Generation 1 Cluster id abcdefgh")
    assert "sasl.username (hidden) sasl.password (hidden)" in found
    assert "security.protocol SASL_SSL" in found
    assert "Configuration acks all retries 3" in found
    page = get(app, good)[2]
    assert f'value="{BAR}"' in page
    assert "<option selected>user1</option>" in page
    assert f"<title>{BAR} – kafkaroute catalog</title>" in page


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("resolve=nonsense&with=durableWrite", "nonsense"),
        (f"resolve={BAR}&with=none", "404: Configuration profile not found: none"),
        (f"resolve={BAR}&with=durableWrite&as=user2", "404: Credential not found"),
        (f"resolve={BAR}&with=durableWrite&more=channel=x", "400: "),
        ("resolve=kafka://example.com/zzz&with=durableWrite&as=user1", "has no entry"),
        ("resolve=kafka://nowhere.example/x&with=durableWrite&as=user1&more=kafka.env=prod", "404"),
        (f"resolve={BAR}", "400: config_profile and channel query parameters are required"),
        ("resolve=%ff%fe%00&with=%ff", ""),
    ],
)
def test_what_cannot_be_resolved(app, query, message):
    assert message in resolved(app, query)


def test_nothing_that_strangers_wrote_is_markup(app, path):
    evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg src=x onerror=alert(2)%3E"
    get(app, f"{ASK}&client_id={evil}", accept="")
    path.write_text(
        RULES.replace("name: c0\n", 'name: "<b>c0</b>\'"\n').replace("acks: all", "'<i>': '\">'")
    )
    app.store.refresh()
    for query in ("", f"resolve={evil}&with={evil}&as={evil}&more={evil}", f"find={evil}"):
        text = get(app, query)[2]
        for tag in ("<script", "<img", "<b>", "<i>"):
            assert tag not in text, (query, tag)
    assert "&lt;script&gt;" in get(app)[2]


def test_no_secret_is_on_it(app):
    get(app, ASK, accept="")
    page = get(app, f"resolve={BAR}&with=durableWrite&as=user1&more=kafka.env=prod")[2]
    for secret in ("the-kafka-user", "the-kafka-pass", "pass1", "pass2"):
        assert secret not in page


def test_many_channels_and_many_clients(app, monkeypatch):
    monkeypatch.setattr(handler, "PER_PAGE", 3)
    monkeypatch.setattr(channels_view, "MAX_SHOWN", 2)
    for number in range(7):
        app.seen.record(f"kafka://example.com/ch{number}", "user1", None, 1.0)
    for number in range(5):
        app.seen.record(BAR, "user1", 1, 1.0, client_id=f"id{number}")
    first = get(app)[2]
    assert "Page 1 of 3, 8 channels" in words(first)
    assert "5 clients lately" in words(first)
    assert "and 3 more" in words(first)
    assert "Page 3 of 3" in words(get(app, "page=3")[2])
    assert "Page 3 of 3" in words(get(app, "page=99999")[2])
    assert "Page 1 of 3" in words(get(app, "page=-1")[2])
    found = words(get(app, "find=CH3")[2])
    assert "kafka://example.com/ch3" in found
    assert "kafka://example.com/ch4" not in found
    assert "No channel has this" in words(get(app, "find=nowhere")[2])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")],
)
def test_how_long_ago(seconds, shown):
    assert channels_view._ago(seconds) == shown


def test_problems_of_the_store_are_on_it(app, path):
    path.write_text("clusters: [")
    app.store.refresh()
    text = get(app)[2]
    assert 'role="alert"' in text
    assert "the last edit of the rules is not sound" in text
