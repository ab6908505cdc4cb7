"""``/healthz`` tells when nobody looks at the rules any more."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from kafkaroute.server.stores import file_store, following
from kafkaroute.server.stores.file_store import FileStore
from kafkaroute.server.stores.following import Follower

DATA = Path(__file__).parents[2] / "data"


def test_a_thread_that_hangs_or_has_ended():
    now, go_on = [0.0], threading.Event()
    follower = Follower("f", go_on.wait, clock=lambda: now[0])
    follower.start()
    assert follower.problem() is None
    now[0] = 29.0
    follower.looked()
    now[0] = 58.0
    assert follower.problem() is None
    now[0] = 60.0
    assert follower.problem() == (
        "the rules are no longer followed: nobody has looked at them for 31 s"
    )
    follower.looked()
    assert follower.problem() is None
    go_on.set()
    follower.join()
    assert follower.problem() is not None


def test_a_file_that_hangs(tmp_path, monkeypatch):
    path = tmp_path / "rules.yaml"
    path.write_text((DATA / "open-rules.yaml").read_text())
    store = FileStore(path, watch_interval=0.01)
    monkeypatch.setattr(following, "_SILENT", 0.3)
    monkeypatch.setattr(following, "_STOPPING", 0.1)
    go_on = threading.Event()
    store.start()
    try:
        assert store.health().problems == ()
        monkeypatch.setattr(file_store, "file_stamp", lambda _: go_on.wait())
        until = time.monotonic() + 10
        while not store.health().problems:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert "no longer followed" in store.health().problems[0]
        began = time.monotonic()
        store.stop()
        assert time.monotonic() - began < 3
    finally:
        go_on.set()
