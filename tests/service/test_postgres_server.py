"""The PostgreSQL that tests start: who runs it, what is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from kafkaroute.testing import postgres as module
from kafkaroute.testing.postgres import PostgresServer, PostgresUnavailable


def test_where_there_is_none(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    with pytest.raises(PostgresUnavailable, match="apt-get install postgresql"):
        PostgresServer()


@pytest.mark.parametrize(("required", "code", "told"), [("0", 0, "1 skipped"), ("1", 1, "1 error")])
def test_ci_fails_where_there_is_none(required, code, told):
    program = f"""
import sys, pytest
from kafkaroute.testing import postgres

def missing():
    raise postgres.PostgresUnavailable("none here")

postgres._programs = missing
test = {str(Path(__file__).with_name("test_postgres_store.py"))!r}
sys.exit(pytest.main([test, "-k", "waits_for_the_first", "-q", "-p", "no:cacheprovider"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | {"KAFKAROUTE_REQUIRE_POSTGRES": required},
    )
    assert done.returncode == code
    assert told in done.stdout
    assert "none here" in done.stdout


def test_nobody_of_importance_runs_it_and_nothing_is_left(postgres):
    with PostgresServer() as server:
        assert server.port != postgres.port
        pid, folder = server._process.pid, server._folder
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url(), connect_timeout=2)
        server.start()
        psycopg.connect(server.url()).close()
        pid = server._process.pid
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
