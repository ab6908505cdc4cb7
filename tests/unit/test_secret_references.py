"""Secrets kept elsewhere: environment, files, Vault (a stand-in that speaks its KV 2 API)."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kafkaroute.catalog import secret_cache, secret_refs
from kafkaroute.catalog.rules import answer
from kafkaroute.catalog.rules_check import check_rules
from kafkaroute.catalog.rules_loader import parse_rules
from kafkaroute.catalog.secret_cache import SecretCache
from kafkaroute.catalog.secret_refs import prefetch, reference_problem, resolve_reference
from kafkaroute.catalog.secret_stores import SecretStore, SecretUnavailable
from kafkaroute.catalog.secret_vault import VaultStore
from kafkaroute.errors import BackendBroken

QUERY = [("config_profile", "p"), ("channel", "kafka://h/orders")]


def rules_with(value, password="x"):
    return parse_rules(f"""
callers: [{{name: a, password: "{password}"}}]
credentials: [{{caller: a, values: {{sasl.username: u, sasl.password: "{value}"}}}}]
clusters:
  - {{name: c, connection: {{bootstrap.servers: "b:1"}}, rules: [{{transform: "{{key}}"}}]}}
profiles: [{{name: p, settings: {{}}}}]
""")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """No secret of one test is known to another."""
    monkeypatch.setattr(secret_refs, "_cache", SecretCache())
    monkeypatch.setattr(secret_refs, "_reported", set())
    for name in list(os.environ):
        if name.startswith("VAULT_"):
            monkeypatch.delenv(name)
    secret_refs._parsed.cache_clear()
    secret_refs._store.cache_clear()
    yield
    secret_refs._known.cache_clear()
    secret_refs._parsed.cache_clear()
    secret_refs._store.cache_clear()


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


# Vault.


class Vault:
    """A stand-in for Vault's HTTP API: KV version 2 and AppRole."""

    def __init__(self):
        self.secrets = {"kafka/east": {"user": "vault-user", "password": "vault-pass"}}
        self.tokens = {"root-token"}
        self.namespace = None
        self.mount = "secret"
        self.broken = None
        self.requests = []
        self.logins = 0
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                vault.requests.append(self.path)
                self.answer(*vault.read(self.path, self.headers))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(*vault.login(self.path, body))

            def answer(self, status, body):
                encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def read(self, path, headers):
        if self.broken is not None:
            return self.broken
        if headers.get("X-Vault-Token") not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if headers.get("X-Vault-Namespace") != self.namespace:
            return 404, {"errors": []}
        found = self.secrets.get(path.removeprefix(f"/v1/{self.mount}/data/"))
        if found is None:
            return 404, {"errors": []}
        return 200, {"data": {"data": found, "metadata": {"version": 1, "deletion_time": ""}}}

    def login(self, path, body):
        self.logins += 1
        if path != "/v1/auth/approle/login" or body != {"role_id": "role", "secret_id": "s-id"}:
            return 400, {"errors": ["invalid role or secret ID"]}
        token = f"approle-{self.logins}"
        self.tokens.add(token)
        return 200, {"auth": {"client_token": token, "lease_duration": 60}}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def vault(monkeypatch):
    vault = Vault()
    monkeypatch.setenv("VAULT_ADDR", vault.url)
    monkeypatch.setenv("VAULT_TOKEN", "root-token")
    yield vault
    vault.close()


@pytest.fixture(autouse=True)
def _close_sessions(monkeypatch):
    """hvac keeps its connections until the process ends."""
    from kafkaroute.catalog import secret_vault

    made = []
    original = secret_vault._logged_in

    def recording(hvac):
        made.append(original(hvac))
        return made[-1]

    monkeypatch.setattr(secret_vault, "_logged_in", recording)
    yield
    for client in made:
        client.adapter.close()


USER, PASSWORD = "{vault://hcv/kafka/east/user}", "{vault://hcv/kafka/east/password}"


def eventually(holds, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_a_secret_in_vault_is_read_once_for_all_its_keys(vault):
    for _ in range(5):
        assert resolve_reference(USER) == "vault-user"
        assert resolve_reference(PASSWORD) == "vault-pass"
    assert vault.requests == ["/v1/secret/data/kafka/east"]
    assert resolve_reference("{vault://hcv/kafka/east/other}") == ""
    assert resolve_reference("{vault://hcv/kafka/none/user}") == ""


def test_mount_and_namespace(vault, monkeypatch):
    vault.mount, vault.namespace = "team/kv", "division"
    monkeypatch.setenv("VAULT_KV_MOUNT", "team/kv")
    monkeypatch.setenv("VAULT_NAMESPACE", "division")
    assert resolve_reference(USER) == "vault-user"


def test_app_role_and_the_end_of_its_token(vault, monkeypatch):
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("VAULT_ROLE_ID", "role")
    monkeypatch.setenv("VAULT_SECRET_ID", "s-id")
    store = VaultStore()
    assert store.read("kafka/east")["user"] == "vault-user"
    vault.tokens.clear()
    assert store.read("kafka/east")["user"] == "vault-user"
    assert vault.logins == 2


def test_a_token_file_is_read_again_when_its_token_ends(vault, monkeypatch, tmp_path):
    monkeypatch.delenv("VAULT_TOKEN")
    file = tmp_path / "token"
    file.write_text("root-token\n")
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(file))
    store = VaultStore()
    assert store.read("kafka/east")["user"] == "vault-user"
    vault.tokens = {"renewed"}
    file.write_text("renewed")
    assert store.read("kafka/east")["user"] == "vault-user"


@pytest.mark.parametrize(
    ("broken", "environ", "cause"),
    [
        (None, {"VAULT_TOKEN": "wrong-token"}, "Forbidden"),
        (None, {"VAULT_ADDR": ""}, "need the environment variable VAULT_ADDR"),
        (None, {"VAULT_ADDR": "http://127.0.0.1:1"}, "ConnectionError"),
        (None, {"VAULT_TOKEN": ""}, "need VAULT_TOKEN, VAULT_TOKEN_FILE, or"),
        (None, {"VAULT_TOKEN": "", "VAULT_ROLE_ID": "x", "VAULT_SECRET_ID": "y"}, "InvalidRequest"),
        (None, {"VAULT_TOKEN": "", "VAULT_TOKEN_FILE": "/none/at/all"}, "FileNotFoundError"),
        ((503, {"errors": ["Vault is sealed"]}), {}, "VaultDown"),
        ((500, {"errors": ["vault-pass"]}), {}, "InternalServerError"),
        ((307, {}), {}, ""),
        ((200, {"data": {"user": "kv version 1"}}), {}, "none of the key-value engine 2"),
        ((200, b"<html>"), {}, ""),
    ],
)
def test_what_fails_is_told_without_secrets(vault, monkeypatch, caplog, broken, environ, cause):
    vault.broken = broken
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SecretUnavailable) as caught:
        resolve_reference(PASSWORD)
    assert str(caught.value).startswith(f"{PASSWORD} cannot be read: ")
    assert cause in str(caught.value)
    assert caught.value.__cause__ is None
    for secret in ("vault-pass", "root-token", "wrong-token"):
        assert secret not in str(caught.value) + caplog.text


def test_hvac_is_imported_only_where_it_is_needed(monkeypatch):
    import subprocess
    import sys

    code = (
        "import sys; from kafkaroute.catalog.secret_refs import reference_problem, resolve_reference;"
        "assert reference_problem('{vault://hcv/a/b}') is None; resolve_reference('{vault://env/x}');"
        "assert 'hvac' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    monkeypatch.setitem(sys.modules, "hvac", None)
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    with pytest.raises(SecretUnavailable, match=r"pip install 'kafkaroute\[vault\]'"):
        resolve_reference(PASSWORD)


def test_a_rotation_is_seen_and_an_outage_is_bridged(vault, monkeypatch, caplog):
    now = [100.0]
    monkeypatch.setattr(secret_refs, "_cache", SecretCache(clock=lambda: now[0]))
    assert resolve_reference(PASSWORD) == "vault-pass"
    vault.secrets["kafka/east"] = {"user": "u2", "password": "p2"}
    now[0] += 59
    assert resolve_reference(PASSWORD) == "vault-pass"
    now[0] += 2
    # The old one at once, the new one when it has been read.
    assert resolve_reference(PASSWORD) == "vault-pass"
    assert eventually(lambda: resolve_reference(PASSWORD) == "p2")
    assert resolve_reference(USER) == "u2"

    vault.broken = (503, {"errors": ["sealed"]})
    now[0] += 1800
    assert resolve_reference(PASSWORD) == "p2"
    assert eventually(lambda: "a secret is used as it was before" in caplog.text)
    now[0] += 1801
    with pytest.raises(SecretUnavailable, match="not read for 36"):
        resolve_reference(PASSWORD)
    vault.broken = None
    now[0] += 6

    def back():
        try:
            return resolve_reference(PASSWORD) == "p2"
        except SecretUnavailable:
            return False

    assert eventually(back)


# What depends on them.


def test_an_answer_without_its_secret_is_a_503_and_comes_back(vault, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(secret_refs, "_cache", SecretCache(clock=lambda: now[0]))
    rules = rules_with(PASSWORD)
    vault.broken = (500, {})
    found = answer(rules, "a", QUERY)
    assert (found.status, found.body["message"]) == (
        503,
        "A secret of this answer cannot be read now",
    )
    vault.broken = None
    now[0] += 6
    assert eventually(lambda: answer(rules, "a", QUERY).status == 200)
    assert answer(rules, "a", QUERY).body["credentials"]["sasl.password"] == "vault-pass"


def test_the_file_catalog(vault, tmp_path):
    from kafkaroute import CatalogUnavailable, resolve

    path = tmp_path / "rules.yaml"
    path.write_text(
        f"callers: [{{name: a, password: '{PASSWORD}'}}]\n"
        f"credentials: [{{caller: a, values: {{sasl.password: '{PASSWORD}'}}}}]\n"
        'clusters: [{name: c, connection: {bootstrap.servers: "b:1"},\n'
        '  rules: [{transform: "{key}"}]}]\n'
        "profiles: [{name: p, settings: {}}]\n"
    )
    config = {
        "service_gateway_uri": f"file://{path}",
        "basic_auth": ("a", "vault-pass"),
        "config_profile": "p",
    }
    assert resolve("kafka://h/orders", config).client_config()["sasl.password"] == "vault-pass"
    vault.broken = (500, {})
    secret_refs._cache._entries.clear()
    with pytest.raises(CatalogUnavailable, match="cannot read the caller's password now"):
        resolve("kafka://h/orders", config)


def test_prefetch_reads_each_document_once_and_says_what_fails(vault, caplog):
    caplog.set_level(logging.WARNING)
    prefetch([USER, PASSWORD, "plain", 3, "{vault://env/none-such}"])
    assert vault.requests == ["/v1/secret/data/kafka/east"]
    vault.broken = (500, {})
    prefetch(["{vault://hcv/kafka/west/a}", "{vault://hcv/kafka/west/b}"])
    assert "2 secrets cannot be read now; the first: {vault://hcv/kafka/west/a}" in caplog.text


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
    """Answers at once, or after a second."""

    life = 0.05

    def __init__(self):
        self.value = "first"
        self.hangs = False

    def split(self, name):
        return name, ""

    def read(self, document):
        if self.hangs:
            time.sleep(1.0)
        return {"": self.value}


def test_the_service_follows_secrets_and_waits_for_none(tmp_path, monkeypatch):
    from kafkaroute.server.app import CatalogApp
    from kafkaroute.server.authentication import Authentication
    from kafkaroute.server.file_store import FileStore
    from kafkaroute.server.secret_keeper import keep_secrets

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
            await asyncio.sleep(0.2)  # it is being read now
            value, took = await ask()
            assert value == "first"
            assert took < 0.5
            async with asyncio.timeout(10):
                while (await ask())[0] != "second":  # noqa: ASYNC110  # nothing tells of it
                    await asyncio.sleep(0.02)
        finally:
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
    with pytest.raises(BackendBroken):
        plugins.load_plugin("kafkaroute.secrets", "theirs")
    plugins._load.cache_clear()
