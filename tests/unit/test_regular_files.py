"""Files that somebody else names or may replace never hold up who reads them."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from kafkaroute.regular_files import open_regular, read_regular
from kafkaroute.rules import file as rules_file
from kafkaroute.rules.file import RulesFile
from kafkaroute.rules.secrets import stores
from kafkaroute.rules.secrets.stores import FileStore as SecretFiles
from kafkaroute.rules.secrets.stores import SecretUnavailable
from kafkaroute.server.audit import AuditFile
from kafkaroute.server.auth import jwks
from kafkaroute.server.auth.jwks import fetch_jwks
from kafkaroute.server.stores.file_store import FileStore
from kafkaroute.server.stores.journal import Journal

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
RULES = """
clusters:
  - {name: c, connection: {bootstrap.servers: "b:1"}, rules: [{transform: "{key}"}]}
profiles: [{name: p, settings: {}}]
"""


def in_time(work, seconds=5.0):
    """What `work` returns or raises, in `seconds` at most: a pipe would be waited for."""
    found = []

    def run():
        try:
            found.append((work(), None))
        except Exception as error:
            found.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it waits for the other end of a pipe"
    [(value, error)] = found
    if error is not None:
        raise error
    return value


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_only_regular_files_are_opened(tmp_path, pipe):
    (tmp_path / "file").write_bytes(b"1234")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"1234"
    for path, why in ((pipe, "no regular file"), (tmp_path, "directory"), ("/dev/null", "regular")):
        with pytest.raises(OSError, match=why):
            in_time(lambda path=path: open_regular(path))
    assert read_regular(tmp_path / "file", 4) == b"1234"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_regular(tmp_path / "file", 3)


def test_a_secret(pipe):
    with pytest.raises(SecretUnavailable, match="no regular file"):
        in_time(lambda: SecretFiles().read(str(pipe)))


def test_the_token_for_vault(pipe, monkeypatch):
    pytest.importorskip("hvac")
    from kafkaroute.rules.secrets.vault import VaultStore

    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(pipe))
    with pytest.raises(SecretUnavailable, match="VAULT_TOKEN_FILE names: it is no regular file"):
        in_time(lambda: VaultStore().read("kafka/east"))


def test_signing_keys(tmp_path, pipe):
    with pytest.raises(OSError, match="no regular file"):
        in_time(lambda: fetch_jwks(f"file://{pipe}"))
    (tmp_path / "keys").write_text(json.dumps({"keys": ["x" * 2_000_000]}))
    with pytest.raises(OSError, match="larger than"):
        fetch_jwks(f"file://{tmp_path}/keys")


def test_the_history_of_routes(pipe, caplog):
    journal = Journal(pipe)
    assert in_time(journal.read) == []
    in_time(lambda: journal.append("{}", []))
    assert "cannot be kept" in journal.problem


def test_a_rules_file_that_is_replaced_by_a_pipe(tmp_path, pipe, caplog):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    store, catalog = FileStore(path), RulesFile(path)
    path.unlink()
    pipe.rename(path)
    assert in_time(store.refresh) is False
    assert in_time(catalog.refresh) is False
    assert caplog.text.count("it is no regular file; the last sound rules stay in force") == 2
    assert store.health().problems == (
        "the last edit of the rules is not sound: the rules before it hold",
    )
    path.unlink()
    path.write_text(RULES.replace("b:1", "b:2"))
    assert in_time(store.refresh) is True
    assert in_time(catalog.refresh) is True


def test_an_audit_log_that_is_replaced_by_a_pipe(tmp_path, pipe, caplog):
    now = [0.0]
    path = tmp_path / "audit"
    audit = AuditFile(str(path), clock=lambda: now[0])
    audit.write("first")
    path.unlink()
    pipe.rename(path)
    now[0] += 2
    in_time(lambda: audit.write("second"))
    assert "the audit log lost 1 lines" in caplog.text
    audit.close()


def test_a_service_whose_secrets_became_pipes_follows_its_rules_and_stops(tmp_path, pipe):
    secrets = tmp_path / "secret"
    secrets.write_text("s3cret")
    path = tmp_path / "rules.yaml"
    reference = f"{{vault://file{secrets}}}"
    text = RULES + f"credentials: [{{caller: '*', values: {{sasl.password: '{reference}'}}}}]\n"
    path.write_text(text)
    store = FileStore(path, watch_interval=0.01)
    secrets.unlink()
    pipe.rename(secrets)
    store.start()
    more = tmp_path / "more"
    os.mkfifo(more)
    path.write_text(text.replace(str(secrets), str(more)).replace("b:1", "b:2"))
    end = time.monotonic() + 10
    while store.state.rules.clusters[0].connection["bootstrap.servers"] != "b:2":
        assert time.monotonic() < end
        time.sleep(0.01)
    in_time(store.stop)


def test_the_limits_are_those_of_the_documents():
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert (
        f"(rules {rules_file._MAX_BYTES >> 20} MiB, a key set {jwks._MAX_BYTES >> 20} MiB, "
        f"a secret {stores._MAX_BYTES >> 10} KiB)"
    ) in text
