"""Rules in a file: watched, swapped as one, with a history that survives a restart."""

from __future__ import annotations

import json
import os
import stat
import threading
import time

import pytest

from kafkaroute.channel import Channel
from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.model import Asked
from kafkaroute.server.stores import journal
from kafkaroute.server.stores.file_store import FileStore
from kafkaroute.server.stores.store import NotWritable

EU = Channel.parse("kafka://example.com/orders/eu")


def generation(store):
    return store.state.history.track(Asked(EU), {}).generation


def edit(path, text):
    path.write_text(text)
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


def records(path):
    text = path.with_name("rules.yaml.history").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_history_survives_a_restart(rules_path, rules_text):
    store = FileStore(rules_path)
    assert generation(store) == 1
    edit(rules_path, rules_text.replace("orders-eu", "second"))
    assert store.refresh()
    assert generation(store) == 2
    again = FileStore(rules_path)
    track = again.state.history.track(Asked(EU), {})
    assert (track.generation, track.previous[0].place.target.topic) == (2, "orders-eu")
    assert again.state.version == store.state.version == 2
    assert len(records(rules_path)) == 2


def test_an_edit_while_nothing_ran_is_noticed_at_the_start(rules_path, rules_text):
    FileStore(rules_path)
    edit(rules_path, rules_text.replace("orders-eu", "second"))
    assert generation(FileStore(rules_path)) == 2


def test_only_changes_of_routes_are_recorded(rules_path, rules_text):
    store = FileStore(rules_path)
    edit(rules_path, rules_text.replace("acks: all", "acks: 1"))
    assert store.refresh()
    assert store.state.version == 2
    assert generation(store) == 1
    assert len(records(rules_path)) == 1
    edit(rules_path, rules_text.replace("orders-eu", "second"))
    assert store.refresh()
    assert store.state.version == generation(store) == 3


def test_a_broken_edit_keeps_the_last_sound_rules_and_says_so(rules_path, rules_text, caplog):
    store = FileStore(rules_path)
    before = store.state
    edit(rules_path, "clusters: [")
    assert not store.refresh()
    assert store.state is before
    assert "the last sound rules stay in force" in caplog.text
    assert store.health().ready
    assert "not sound" in store.health().problems[0]
    with pytest.raises(NotWritable, match="mend it first"):
        store.change(lambda text: text + "\n", author="ops")
    edit(rules_path, rules_text + "\n")
    assert store.refresh()
    assert store.health().problems == ()


def test_a_file_that_is_wrong_at_the_start_is_an_error(rules_path):
    rules_path.write_text("clusters: [")
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        FileStore(rules_path)


def test_it_is_followed_in_the_background(rules_path, rules_text):
    store = FileStore(rules_path, watch_interval=0.01)
    changed = threading.Event()
    store.on_change(changed.set)
    store.start()
    try:
        edit(rules_path, rules_text.replace("orders-eu", "second"))
        assert changed.wait(10)
        assert generation(store) == 2
    finally:
        store.stop()
    store.stop()


def test_a_change_is_written_as_one_and_keeps_rights(rules_path):
    rules_path.chmod(0o640)
    store = FileStore(rules_path)
    state = store.change(lambda text: text.replace("orders-eu", "second"), author="ops")
    assert state is store.state
    assert generation(store) == 2
    assert "second" in rules_path.read_text()
    assert stat.S_IMODE(rules_path.stat().st_mode) == 0o640
    assert stat.S_IMODE(rules_path.with_name("rules.yaml.history").stat().st_mode) == 0o600
    assert [p.name for p in sorted(rules_path.parent.iterdir())] == [
        "rules.yaml",
        "rules.yaml.history",
    ]
    assert not store.refresh()


def test_a_change_through_a_link_leaves_the_link(rules_path):
    link = rules_path.with_name("link.yaml")
    link.symlink_to(rules_path)
    FileStore(link).change(lambda text: text.replace("orders-eu", "second"), author="ops")
    assert link.is_symlink()
    assert "second" in rules_path.read_text()


def test_a_change_that_is_not_sound_changes_nothing(rules_path, rules_text):
    store = FileStore(rules_path)
    with pytest.raises(ConfigurationError):
        store.change(lambda _: "clusters: []\n", author="ops")
    assert rules_path.read_text() == rules_text
    assert store.state.version == 1


def test_a_change_sees_an_edit_that_was_just_made(rules_path, rules_text):
    store = FileStore(rules_path)
    edit(rules_path, rules_text.replace("orders-eu", "second"))
    store.change(lambda text: text.replace("orders-us", "third"), author="ops")
    assert "second" in rules_path.read_text()
    assert "third" in rules_path.read_text()


def test_where_nothing_can_be_written(tmp_path, rules_path, caplog):
    """The history's folder is missing: routes are answered all the same."""
    store = FileStore(rules_path, history=tmp_path / "missing" / "history")
    assert generation(store) == 1
    assert "generations begin anew" in caplog.text
    assert store.health().ready
    assert "cannot be kept" in store.health().problems[0]


def test_a_change_that_cannot_be_written(rules_path, rules_text, monkeypatch):
    store = FileStore(rules_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kafkaroute.server.stores.file_store.os.fsync", full)
    with pytest.raises(NotWritable, match="No space left"):
        store.change(lambda text: text + "# more\n", author="ops")
    assert rules_path.read_text() == rules_text


def test_a_record_that_was_cut_short_is_left_out(rules_path, rules_text):
    FileStore(rules_path)
    with rules_path.with_name("rules.yaml.history").open("a") as file:
        file.write('{"version": 2, "at": "20')
    store = FileStore(rules_path)
    assert generation(store) == 1
    edit(rules_path, rules_text.replace("orders-eu", "second"))
    assert store.refresh()
    assert generation(FileStore(rules_path)) >= 2


def test_a_history_that_cannot_be_read_begins_anew(rules_path, caplog):
    FileStore(rules_path)
    rules_path.with_name("rules.yaml.history").write_text(
        '{"version": 7}\nnonsense\n{"version": 8}\n'
    )
    store = FileStore(rules_path)
    assert generation(store) > 8
    assert "cannot be read" in caplog.text
    caplog.clear()
    assert generation(FileStore(rules_path)) == generation(store)


def test_a_long_history_is_halved(rules_path, rules_text, monkeypatch):
    monkeypatch.setattr(journal, "MAX_RECORDS", 8)
    store = FileStore(rules_path)
    for number in range(2, 21):
        edit(rules_path, rules_text.replace("orders-eu", f"topic-{number}"))
        assert store.refresh()
        assert generation(store) == number
    assert len(records(rules_path)) <= 8
    track = FileStore(rules_path).state.history.track(Asked(EU), {})
    assert track.generation == 20
    assert track.previous[-1].place.target.topic == "topic-19"
