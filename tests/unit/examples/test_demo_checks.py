"""The demo's own checks find what they are there to find."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from kafkaroute import Message
from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules

ROOT = Path(__file__).parents[3]


@pytest.fixture
def demo(monkeypatch):
    """Imports a module of the examples, as the scripts there find each other."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module


def message(row, key=b"N1", value=b"{}", timestamp=1):
    return Message("t", 0, row, key, value, [("row", b"%d" % row)], None, timestamp=(1, timestamp))


def read(demo, *messages):
    reading = demo("consume_flights").Reading()
    for each in messages:
        reading.add(each)
    return reading.summary()


def test_a_clean_reading(demo):
    found = read(demo, message(1), message(2), message(3, key=b"N2"))
    assert (found["count"], found["duplicated"], found["reordered"]) == (3, 0, 0)


def test_duplicates_and_order_are_seen(demo):
    found = read(demo, message(2), message(1), message(2))
    assert (found["count"], found["duplicated"], found["reordered"]) == (2, 1, 1)


def test_flights_without_tail_number_have_no_order(demo):
    assert read(demo, message(2, key=None), message(1, key=None))["reordered"] == 0


@pytest.mark.parametrize("changed", [{"key": b"N2"}, {"value": b"[]"}, {"timestamp": 2}])
def test_any_change_of_a_message_changes_the_fingerprint(demo, changed):
    same = read(demo, message(1), message(2))["fingerprint"]
    assert same == read(demo, message(2), message(1))["fingerprint"]
    assert same != read(demo, message(1), message(2, **changed))["fingerprint"]


@pytest.mark.parametrize(
    ("changed", "sound"),
    [
        ({}, True),
        ({"consumed": 9}, False),
        ({"duplicated": 1}, False),
        ({"reordered": 1}, False),
        ({"intact": False}, False),
    ],
)
def test_what_counts_as_sound(demo, changed, sound):
    result = {
        "backend": "b",
        "channel": "c",
        "cluster": "a",
        "produced": 10,
        "consumed": 10,
        "duplicated": 0,
        "reordered": 0,
        "intact": True,
        "rate": 1.0,
    }
    assert demo("examples.demo.carry").Result(**(result | changed)).sound is sound


def test_the_flights_are_what_they_are_said_to_be(demo):
    flights = demo("flights")
    first = next(flights.read_flights(1))
    assert first.channel == "kafka://airports.example/departures/EWR"
    assert first.key == b"N14228"
    # 2013-01-01 05:15 in New York is 10:15 UTC.
    assert first.timestamp == 1_357_035_300_000
    assert b'"dep_delay":2,' in first.value
    unnamed = [flight for flight in flights.read_flights(2_000) if flight.key is None]
    assert unnamed
    assert all(b'"tailnum":null' in flight.value for flight in unnamed)


@pytest.mark.parametrize("moved", [False, True])
def test_the_demos_rules_put_each_channel_on_its_cluster(demo, monkeypatch, moved):
    rules_module = demo("examples.demo.rules")
    monkeypatch.setenv("DEMO_PASSWORD", "x")
    connections = {name: {"bootstrap.servers": f"{name}:1"} for name in "ab"}
    rules = parse_rules(rules_module.rules_text(connections, "p", moved=moved))
    named = rules_module.topics("p")
    homes = {"EWR": "a", "JFK": "a", "LGA": "b" if moved else "a"}
    for airport, home in homes.items():
        query = [
            ("config_profile", "flightsIn"),
            ("channel", f"kafka://airports.example/departures/{airport}"),
        ]
        body = answer(rules, "flights", query).body
        assert body["connection"] == connections[home]
        assert body["channel_mapping"][airport] in named[home]


def test_a_line_that_is_no_event_does_not_end_the_listening(demo, tmp_path):
    """Two threads that told at once made one line of two; the end of the program went unheard."""
    program = """print('{"event": "a"}{"event": "b"}'); print('{"event": "done"}')"""
    app = demo("demo.apps").App("app", [sys.executable, "-c", program], {}, tmp_path / "log")
    try:
        assert app.said.get(timeout=10) == '{"event": "a"}{"event": "b"}\n'
        assert app.said.get(timeout=10) == {"event": "done"}
    finally:
        app.stop()


def test_events_of_several_threads_are_lines_of_their_own(demo, monkeypatch):
    written = []

    class Out:
        def write(self, text):
            written.append(text)

        def flush(self): ...

    monkeypatch.setattr(sys, "stdout", Out())
    demo("flights").say("progress", count=1)
    assert written == ['{"event": "progress", "count": 1}\n']
