"""The bounded memory of who asked for what."""

from __future__ import annotations

from kafkaroute.server.seen import MAX_CHANNEL, MAX_CLIENT_ID, SeenCallers, Sighting

BAR = "kafka://example.com/bar"


def test_the_latest_sighting_of_each_client_latest_first():
    seen = SeenCallers()
    seen.record(BAR, "billing", 1, 10.0, client_id="a", intent="produce")
    seen.record(BAR, "reports", 1, 11.0)
    seen.record(BAR, "billing", 2, 12.0, client_id="a", intent="produce")
    seen.record(BAR, "billing", 1, 13.0, client_id="b", intent="produce")
    assert seen.recent(BAR) == [
        Sighting(BAR, "billing", "b", "produce", 1, 13.0),
        Sighting(BAR, "billing", "a", "produce", 2, 12.0),
        Sighting(BAR, "reports", "", "", 1, 11.0),
    ]
    assert seen.recent("kafka://example.com/other") == []


def test_nameless_callers():
    seen = SeenCallers()
    seen.record(BAR, None, None, 1.0)
    assert seen.recent(BAR) == [Sighting(BAR, "", "", "", None, 1.0)]


def test_channels_latest_first():
    seen = SeenCallers()
    for at, channel in enumerate(["kafka://h/a", "kafka://h/b", "kafka://h/a"]):
        seen.record(channel, "c", None, at)
    assert seen.channels() == ["kafka://h/a", "kafka://h/b"]


def test_one_channel_is_bounded():
    seen = SeenCallers(max_callers=3)
    for number in range(10):
        seen.record(BAR, f"c{number}", None, number)
    assert [found.caller for found in seen.recent(BAR)] == ["c9", "c8", "c7"]


def test_the_whole_is_bounded_and_the_oldest_channel_goes_first():
    seen = SeenCallers(max_total=4)
    for number in range(10):
        seen.record(f"kafka://h/{number}", "c", None, number)
    assert seen.channels() == [f"kafka://h/{number}" for number in (9, 8, 7, 6)]
    assert sum(len(seen.recent(channel)) for channel in seen.channels()) == 4


def test_texts_of_strangers_are_bounded():
    seen = SeenCallers()
    seen.record(BAR, "c", None, 1.0, client_id="x" * 5_000)
    assert len(seen.recent(BAR)[0].client_id) == MAX_CLIENT_ID
    seen.record("kafka://h/" + "x" * MAX_CHANNEL, "c", None, 1.0)
    assert seen.channels() == [BAR]
