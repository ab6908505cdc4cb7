"""Secrets kept elsewhere, and a stand-in for Vault that speaks its KV 2 API."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.secrets import refs as secret_refs
from kafkaroute.rules.secrets.cache import SecretCache

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
    from kafkaroute.rules.secrets import vault as secret_vault

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


def eventually(holds, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False
