"""Secrets kept elsewhere: environment, files, stores of others, and the cache over them."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
import time
import warnings

import pytest

from kafkaroute.errors import PluginBroken
from kafkaroute.rules.check import check_rules
from kafkaroute.rules.secrets import cache as secret_cache
from kafkaroute.rules.secrets import refs as secret_refs
from kafkaroute.rules.secrets.cache import SecretCache
from kafkaroute.rules.secrets.refs import reference_problem, resolve_reference
from kafkaroute.rules.secrets.stores import SecretStore, SecretUnavailable

from . import secrets_world
from .secrets_world import USER, eventually

_close_sessions = secrets_world._close_sessions
_fresh = secrets_world._fresh
vault = secrets_world.vault


# The forms of references.


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{vault://env/cc-user1}", None),
        ("{vault://file/run/secrets/kafka}", None),
        ("{vault://hcv/kafka/east/password}", None),
        ("{vault://env/a b}", "'a b' names no environment variable"),
        ("{vault://env/}", "'' names no environment variable"),
        ("{vault://file/}", "'' names no file"),
        ("{vault://file/etc/}", "'etc/' names no file"),
        ("{vault://hcv/password}", "'password' is no path and key in Vault"),
        ("{vault://hcv/a//b}", "'a//b' is no path and key"),
        ("{vault://hcv/a/../b}", "'a/../b' is no path and key"),
        ("{vault://moon/x}", "unknown secret store 'moon'; known: env, file, hcv"),
        ("{vault://env}", "a secret reference looks like {vault://env/name}"),
    ],
)
def test_forms(value, problem):
    found = reference_problem(value)
    assert found is None if problem is None else found.startswith(problem)


def test_check_names_the_place():
    rules_text = (
        "credentials: [{caller: '*', values: {sasl.password: '{vault://hcv/password}'}}]\n"
        "clusters: []\nprofiles: []\n"
    )
    _, problems, _ = check_rules(rules_text, "r.yaml", {})
    expected = (
        "r.yaml:1: credentials[0].values.sasl.password: 'password' is no path and key in Vault, "
        "such as kafka/east/password"
    )
    assert problems == [expected]


# The environment.


def test_environment(monkeypatch, caplog):
    monkeypatch.setenv("CC_USER1", "first")
    assert resolve_reference("{vault://env/cc-user1}") == "first"
    monkeypatch.setenv("CC_USER1", "second")
    assert resolve_reference("{vault://env/cc-user1}") == "second"
    for _ in range(3):
        assert resolve_reference("{vault://env/not-set-at-all}") == ""
    assert caplog.text.count("{vault://env/not-set-at-all} is not set") == 1


# Files.


def test_a_file_and_its_change(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(secret_refs, "_cache", SecretCache(clock=lambda: now[0]))
    path = tmp_path / "pass word"
    path.write_text("s3cret \n")
    reference = f"{{vault://file{path}}}"
    assert resolve_reference(reference) == "s3cret "
    path.write_text("changed\r\n")
    assert resolve_reference(reference) == "s3cret "
    now[0] += 3
    resolve_reference(reference)
    assert eventually(lambda: resolve_reference(reference) == "changed")


def test_a_file_that_is_missing_or_unreadable(tmp_path, caplog):
    assert resolve_reference(f"{{vault://file{tmp_path}/none}}") == ""
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, cause in [("large", "larger than"), ("binary", "not UTF-8")]:
        with pytest.raises(SecretUnavailable, match=cause) as caught:
            resolve_reference(f"{{vault://file{tmp_path}/{name}}}")
        assert f"{{vault://file{tmp_path}/{name}}} cannot be read: " in str(caught.value)
    folder = f"{{vault://file{tmp_path}}}"
    with pytest.raises(SecretUnavailable, match="directory"):
        resolve_reference(folder)
    # One unreadable file is no reason not to read the next.
    (tmp_path / "good").write_text("ok")
    assert resolve_reference(f"{{vault://file{tmp_path}/good}}") == "ok"
    assert "xxxx" not in caplog.text


# Stores of others, and the cache itself.


class Slow(SecretStore):
    def __init__(self, seconds=0.0):
        self.clock = 0.0
        self.seconds = seconds
        self.reads = []
        self.error = None

    def split(self, name):
        return name, ""

    def read(self, document):
        self.reads.append(document)
        self.clock += self.seconds
        if self.error is not None:
            raise self.error
        return {"": f"of {document}"}


def test_a_store_that_hangs_is_not_asked_for_each_of_a_thousand_secrets():
    store = Slow(seconds=3.0)
    store.error = SecretUnavailable("timed out")
    cache = SecretCache(clock=lambda: store.clock)
    for number in range(1000):
        with pytest.raises(SecretUnavailable):
            cache.read(store, f"d{number}")
    assert len(store.reads) == 1
    store.error, store.seconds = None, 0.0
    store.clock += 6
    assert cache.read(store, "new") == {"": "of new"}


def test_the_text_of_a_broken_store_is_not_told(caplog):
    store = Slow()
    store.error = RuntimeError("password=hunter2")
    with pytest.raises(SecretUnavailable) as caught:
        SecretCache(clock=lambda: store.clock).read(store, "d")
    assert str(caught.value) == "its store failed (RuntimeError)"
    assert "hunter2" not in caplog.text


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(secret_cache, "_MAX_DOCUMENTS", 5)
    store = Slow()
    cache = SecretCache(clock=lambda: store.clock)
    for number in range(20):
        cache.read(store, f"d{number}")
    assert len(cache._entries) == 5


def test_the_child_of_a_fork_reads_again(vault):
    assert resolve_reference(USER) == "vault-user"
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; that they are missing in the child is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            secret_refs._cache._entries.clear()
            os.write(write_end, resolve_reference(USER).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b"vault-user"
    os.waitpid(pid, 0)
    assert resolve_reference(USER) == "vault-user"


class Entry:
    """An entry point of somebody else's distribution."""

    name = "theirs"
    group = "kafkaroute.secrets"
    value = "theirs:Store"
    dist = None

    def __init__(self, loaded):
        self.loaded = loaded

    def load(self, *args, **kwargs):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded

    resolve = load
    module, attr, extras = "theirs", "Store", ()


def test_ten_thousand_references_are_checked_at_once():
    started = time.monotonic()
    for number in range(10_000):
        assert reference_problem(f"{{vault://hcv/kafka/{number}/password}}") is None
    assert time.monotonic() - started < 5


# The service.


class Hanging(SecretStore):
    """Answers at once, or when it is let go on."""

    life = 0.05

    def __init__(self):
        self.value = "first"
        self.hangs = False
        self.reading, self.go_on = threading.Event(), threading.Event()

    def split(self, name):
        return name, ""

    def read(self, document):
        if self.hangs:
            self.reading.set()
            self.go_on.wait(30)
        return {"": self.value}


def test_the_service_follows_secrets_and_waits_for_none(tmp_path, monkeypatch):
    from kafkaroute.server.app import CatalogApp
    from kafkaroute.server.auth.authentication import Authentication
    from kafkaroute.server.secret_keeper import keep_secrets
    from kafkaroute.server.stores.file_store import FileStore

    store = Hanging()
    original = secret_refs._store
    chosen = functools.cache(lambda name: store if name == "hcv" else original(name))
    monkeypatch.setattr(secret_refs, "_store", chosen)
    path = tmp_path / "rules.yaml"
    path.write_text(
        "credentials: [{caller: '*', values: {sasl.password: '{vault://hcv/a/b}'}}]\n"
        'clusters: [{name: c, connection: {bootstrap.servers: "b:1"},\n'
        '  rules: [{transform: "{key}"}]}]\n'
        "profiles: [{name: p, settings: {}}]\n"
    )
    app = CatalogApp(FileStore(path), authenticator=Authentication())

    async def ask():
        app.answers._kept.clear()
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"config_profile=p&channel=kafka://h/x",
            "headers": [],
            "client": None,
        }
        started = time.monotonic()
        await app(scope, None, send)
        took = time.monotonic() - started
        return json.loads(sent[1]["body"])["credentials"]["sasl.password"], took

    async def scenario():
        keeper = asyncio.create_task(keep_secrets(app.store, every=0.02))
        try:
            assert (await ask())[0] == "first"
            store.value, store.hangs = "second", True
            assert await asyncio.to_thread(store.reading.wait, 10)
            value, took = await ask()
            assert value == "first"
            assert took < 10
            store.go_on.set()
            async with asyncio.timeout(10):
                while (await ask())[0] != "second":  # noqa: ASYNC110  # nothing tells of it
                    await asyncio.sleep(0.02)
        finally:
            store.go_on.set()
            keeper.cancel()

    asyncio.run(scenario())


def test_a_store_of_somebody_else(monkeypatch):
    from kafkaroute import plugins

    real = plugins.entry_points

    def also_theirs(loaded):
        def entry_points(**wanted):
            found = list(real(**wanted))
            if wanted["group"] == "kafkaroute.secrets" and wanted.get("name") in {None, "theirs"}:
                found.append(Entry(loaded))
            return found

        plugins._load.cache_clear()
        secret_refs._known.cache_clear()
        secret_refs._store.cache_clear()
        secret_refs._parsed.cache_clear()
        monkeypatch.setattr(plugins, "entry_points", entry_points)

    also_theirs(Slow)
    assert reference_problem("{vault://theirs/x}") is None
    assert resolve_reference("{vault://theirs/x}") == "of x"
    also_theirs(ImportError("no such module"))
    assert "secret store 'theirs'" in reference_problem("{vault://theirs/x}")
    with pytest.raises(PluginBroken):
        plugins.load_plugin("kafkaroute.secrets", "theirs")
    plugins._load.cache_clear()
