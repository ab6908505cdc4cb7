"""The snapshot file when it is damaged, foreign, or open to others."""

import json
import logging
import os
import stat

import pytest

from kafkaroute.catalog.cache.snapshot import SavedRoute, Snapshot
from kafkaroute.errors import (
    CatalogUnavailable,
)
from kafkaroute.testing.scripted_catalog import route_to

from . import snapshot_world
from .snapshot_world import BAR, BAZ, DOWN, Process, rows

path = snapshot_world.path


# --- reading what may be anything ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"42",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format": "other", "version": 1, "scopes": {}}',
        b'{"format": "kafkaroute-snapshot", "version": 2, "scopes": {}}',
        b'{"format": "kafkaroute-snapshot", "version": 1, "scopes": [1]}',
        b'{"format": "kafkaroute-snapshot", "version": 1, "scopes": {"scope": 1}}',
        b"<html>",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_damaged_or_foreign_file_is_a_warning_and_then_replaced(path, caplog, text):
    path.parent.mkdir()
    path.write_bytes(text)
    path.chmod(0o600)
    process = Process(path, script={BAR: DOWN})
    with pytest.raises(CatalogUnavailable):
        process.cache.get(BAR)
    assert "damaged or foreign" in caplog.text
    process.clock.advance(2)
    process.catalog.script[BAR] = route_to("t1")
    process.cache.get(BAR)
    process.cache.close()
    assert list(rows(path)) == [BAR]


@pytest.mark.parametrize(
    "damage",
    [
        {"answer": {}},
        {"answer": None},
        {"confirmed": "yesterday"},
        {"confirmed": None},
        {"limit": None},
        {"answer": {"routes": {BAR: {"topic": "^.*", "connection": {"bootstrap.servers": "x"}}}}},
    ],
    ids=repr,
)
def test_a_damaged_entry_is_left_out(path, damage):
    first = Process(path, script={BAR: route_to("t1"), BAZ: route_to("z", BAZ)})
    first.cache.get(BAR)
    first.cache.get(BAZ)
    first.cache.close()
    whole = json.loads(path.read_text())
    for scope in whole["scopes"].values():
        scope[BAR] |= damage
    path.write_text(json.dumps(whole))
    second = Process(path, script={BAR: DOWN, BAZ: DOWN})
    with pytest.raises(CatalogUnavailable):
        second.cache.get(BAR)
    assert second.cache.get(BAZ).topic == "z"


def test_a_file_that_others_may_write_to_is_not_believed(path, caplog):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    path.chmod(0o622)
    second = Process(path, script={BAR: DOWN})
    with pytest.raises(CatalogUnavailable):
        second.cache.get(BAR)
    assert "may be written by" in caplog.text


def test_a_file_that_others_may_read_is_repaired(path, caplog):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    path.chmod(0o644)
    second = Process(path, script={BAR: DOWN})
    assert second.cache.get(BAR).topic == "t1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "could be read by other users" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_block(path, caplog):
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    assert Snapshot(path).load("scope") == {}
    assert "no regular file" in caplog.text


def test_secrets_stay_in_the_file(path, caplog):
    caplog.set_level(logging.DEBUG)
    secret = {"sasl.username": "alice-x", "sasl.password": "hunter2-x"}
    first = Process(path, script={BAR: route_to("t1", credentials=secret)})
    first.cache.get(BAR)
    first.cache.close()
    path.write_text(path.read_text()[:-20])
    second = Process(path, script={BAR: DOWN})
    with pytest.raises(CatalogUnavailable) as caught:
        second.cache.get(BAR)
    told = (
        caplog.text + str(caught.value) + repr(SavedRoute(route_to("t", credentials=secret), 0, 0))
    )
    assert "hunter2-x" not in told
    assert "alice-x" not in told
