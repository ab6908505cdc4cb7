"""Moves written into a rules document, which otherwise stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaroute.channel import Channel
from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.edit import moves_in, with_move
from kafkaroute.rules.loader import parse_rules

RULES = (Path(__file__).parents[1] / "data" / "moving-rules.yaml").read_text()
EU = Channel.parse("kafka://example.com/orders/eu")
US = Channel.parse("kafka://example.com/orders/us")
TO_WEST = {"cluster": "west", "topic": "o"}


def moves(text):
    parse_rules(text)
    return [(channel.uri, move["cluster"], move["topic"]) for channel, move in moves_in(text)]


def test_the_first_move_is_added_at_the_end():
    text = with_move(RULES, EU, TO_WEST)
    assert text.startswith(RULES)
    assert moves(text) == [(EU.uri, "west", "o")]


def test_a_later_one_replaces_that_of_its_channel_alone():
    text = with_move(with_move(RULES, EU, TO_WEST), US, TO_WEST)
    again = with_move(
        text, Channel.parse("KAFKA://EXAMPLE.com/orders//eu/"), {**TO_WEST, "topic": "p"}
    )
    assert [topic for _, _, topic in moves(again)] == ["o", "p"]
    assert again.startswith(RULES)


def test_a_move_is_taken_away():
    text = with_move(RULES, EU, TO_WEST)
    assert moves(with_move(text, EU, None)) == []
    assert moves(with_move(with_move(text, EU, None), US, TO_WEST)) == [(US.uri, "west", "o")]


def test_every_other_letter_stays():
    head, tail = RULES.split("clusters:\n", 1)
    section = (
        "moves:  # by hand\n"
        f"  - channel: {US.uri}\n"
        "    cluster: west\n"
        "    topic: >-\n"
        "      us\n"
        "\n"
        "# The clusters é\n"
    )
    text = head + section + "clusters:\n" + tail
    changed = with_move(text, EU, TO_WEST)
    assert moves(changed) == [(US.uri, "west", "us"), (EU.uri, "west", "o")]
    assert changed.startswith(head)
    assert changed.endswith("# The clusters é\nclusters:\n" + tail)


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end", "\n  # indented"])
def test_any_end_of_the_text(end):
    assert moves(with_move(RULES.rstrip() + end, EU, TO_WEST)) == [(EU.uri, "west", "o")]


def test_times_stay_times():
    text = with_move(
        RULES,
        EU,
        {**TO_WEST, "start_at": "2026-01-02T03:04:05Z", "at": "2026-01-02T03:04:05+00:00"},
    )
    by_hand = text.replace('"2026-01-02T03:04:05Z"', "2026-01-02T03:04:05Z")
    again = with_move(by_hand, US, TO_WEST)
    target = next(iter(parse_rules(again).moves.values())).target
    assert target.start_at == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    "text", ["{clusters: [], profiles: []}", "clusters: []\nprofiles: []\n...\n"]
)
def test_what_cannot_be_changed_by_a_program_is_refused(text):
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        with_move(text, EU, TO_WEST)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("moves: [{channel: x, cluster: west, topic: o}]", "has no scheme"),
        ("moves: [{channel: 'kafka://h/a', cluster: nowhere, topic: o}]", "no cluster is named"),
        ("moves: [{channel: 'kafka://h/a', cluster: west, topic: 'a b'}]", "is no topic name"),
        ("moves: [{channel: 'kafka://h/a', cluster: west}]", "'topic' is missing"),
        (
            (
                "moves:\n"
                "  - {channel: 'kafka://h/a', cluster: west, topic: o}\n"
                "  - {channel: 'KAFKA://h//a', cluster: west, topic: o}"
            ),
            "this channel stands here twice",
        ),
    ],
)
def test_moves_are_checked(section, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_rules(f"{RULES}\n{section}\n")
