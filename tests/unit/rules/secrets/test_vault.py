"""Secrets kept in Vault (a stand-in), and what depends on them."""

from __future__ import annotations

import logging

import pytest

from kafkaroute.rules.answer import answer
from kafkaroute.rules.secrets import refs as secret_refs
from kafkaroute.rules.secrets.cache import SecretCache
from kafkaroute.rules.secrets.refs import prefetch, resolve_reference
from kafkaroute.rules.secrets.stores import SecretUnavailable
from kafkaroute.rules.secrets.vault import VaultStore

from . import secrets_world
from .secrets_world import PASSWORD, QUERY, USER, eventually, rules_with

_close_sessions = secrets_world._close_sessions
_fresh = secrets_world._fresh
vault = secrets_world.vault


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
        "import sys; from kafkaroute.rules.secrets.refs import reference_problem, resolve_reference;"
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
