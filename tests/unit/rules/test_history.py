"""Generations and previous places as a function of earlier rules."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kafkaroute.catalog.answer import route_from_answer
from kafkaroute.catalog.previous import previous_routes
from kafkaroute.channel import Channel
from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.model import Asked
from kafkaroute.rules.places import Routing, place_of
from kafkaroute.rules.records import (
    HistoryBuilder,
    first_record,
    folded,
    halved,
    next_record,
    routing_in,
)

RULES = (Path(__file__).parents[1] / "data" / "moving-rules.yaml").read_text()
NOW = datetime.now(UTC)
EU = "kafka://example.com/orders/eu"
BILLING = ("billing", [("config_profile", "any"), ("channel", EU)])


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("KAFKA_USER", "u")
    monkeypatch.setenv("KAFKA_PASS", "p")
    monkeypatch.setenv("REGISTRY_USER", "sr:pass")


def moved(text, *moves):
    lines = "".join(f"  - {{channel: {c!r}, cluster: {k}, topic: {t}}}\n" for c, k, t in moves)
    return f"{text}\nmoves:\n{lines}" if moves else text


def records_of(*texts, step=timedelta(minutes=1)):
    """The records of documents that came into force one after the other, up to now."""
    records = []
    start = NOW - step * (len(texts) - 1)
    for number, text in enumerate(texts):
        version, at = number + 1, start + step * number
        if not records:
            records.append(first_record(version, at, routing_in(text)))
        elif record := next_record(version, at, folded(records), routing_in(text)):
            records.append(record)
    return records


def history_of(*texts, **more):
    return HistoryBuilder(records_of(*texts, **more)).history()


def track(history, uri=EU, tags=None):
    return history.track(Asked(Channel.parse(uri)), tags or {})


def shown(found):
    """(generation, [(cluster, topic, generation), …])"""
    previous = [(e.place.cluster.name, e.place.target.topic, e.generation) for e in found.previous]
    return found.generation, previous


def test_nothing_changed():
    assert shown(track(history_of(RULES))) == (1, [])
    assert shown(track(history_of(RULES, RULES + "\n# a word\n", RULES))) == (1, [])


def test_another_topic_is_another_generation():
    history = history_of(RULES, RULES.replace("orders-eu", "orders-eu2"))
    assert shown(track(history)) == (2, [("east", "orders-eu", 1)])
    assert shown(track(history, "kafka://example.com/orders/us")) == (1, [])


def test_channels_that_nobody_asked_for_have_a_history_too():
    """A template makes topics of any number of channels."""
    history = history_of(RULES, RULES.replace("{segment:2}.{key}", "v2.{segment:2}.{key}"))
    for team in ("a", "zz"):
        found = track(history, f"kafka://example.com/team/{team}/x")
        assert shown(found) == (2, [("east", f"{team}.x", 1)])


def test_a_chain_of_moves_is_told_oldest_first():
    history = history_of(
        RULES,
        moved(RULES, (EU, "west", "o2")),
        moved(RULES, (EU, "west", "o3")),
        moved(RULES, (EU, "west", "o3"), ("kafka://example.com/orders/us", "west", "u")),
    )
    assert shown(track(history)) == (3, [("east", "orders-eu", 1), ("west", "o2", 2)])
    left = [earlier.left_at for earlier in track(history).previous]
    assert left == [NOW - timedelta(minutes=2), NOW - timedelta(minutes=1)]
    assert shown(track(history, "kafka://example.com/orders/us"))[0] == 4


def test_a_move_back_grows_and_does_not_name_the_place_itself():
    history = history_of(RULES, moved(RULES, (EU, "west", "o")), RULES)
    assert shown(track(history)) == (3, [("west", "o", 2)])


def test_a_channel_that_was_gone_for_a_while():
    without = RULES.replace("            eu: orders-eu\n", "")
    history = history_of(RULES, without, RULES.replace("orders-eu", "new"))
    assert shown(track(history)) == (3, [("east", "orders-eu", 1)])
    assert track(history_of(RULES, without)) is None
    # The same place again: nothing is left behind, and yet something changed.
    assert shown(track(history_of(RULES, without, RULES))) == (3, [])


def test_another_list_of_brokers_is_the_same_cluster_where_its_id_is_known():
    other = RULES.replace("e1:9092", "e2:9092")
    assert shown(track(history_of(RULES, other))) == (1, [])
    nameless = RULES.replace("    cluster_id: eeeeeeeeeeeeeeeeeeeeee\n", "")
    history = history_of(nameless, nameless.replace("e1:9092", "e2:9092"))
    assert shown(track(history)) == (2, [("east", "orders-eu", 1)])


def test_a_name_that_goes_to_another_cluster_is_a_move():
    other = RULES.replace("e1:9092", "n1:9092").replace("e" * 22, "n" * 22)
    found = track(history_of(RULES, other))
    assert shown(found) == (2, [("east", "orders-eu", 1)])
    assert found.previous[0].place.cluster.connection["bootstrap.servers"] == "e1:9092"


def test_generations_written_by_hand_are_honoured_and_never_go_back():
    by_hand = RULES.replace("eu: orders-eu", "eu: {topic: orders-eu, generation: 40}")
    assert track(history_of(RULES, by_hand)).generation == 40
    later = RULES.replace("eu: orders-eu", "eu: {topic: other, generation: 3}")
    assert track(history_of(RULES, by_hand, later)).generation == 41


def test_tags_choose_among_earlier_clusters_too():
    tagged = RULES.replace(
        "    cluster_id: ww", "    tags: {env: dev}\n    cluster_id: ww"
    ).replace("path: '/west/.*'", "path: '/(west|orders)/.*'")
    later = tagged.replace("west-eu", "west-eu2")
    history = history_of(tagged, later)
    assert shown(track(history, tags={"env": "dev"})) == (2, [("west", "west-eu", 1)])
    assert shown(track(history)) == (1, [])


def test_the_answer_tells_them_and_a_client_reads_them():
    text = moved(RULES, (EU, "west", "orders-eu"))
    history = history_of(RULES, text)
    status, body = answer(parse_rules(text), *BILLING, history)
    assert status == 200
    assert body["connection"] == {"bootstrap.servers": "w1:9092"}
    assert (body["generation"], body["cluster_id"]) == (2, "w" * 22)
    assert "schema_registry" not in body
    assert body["previous"] == [
        {
            "connection": {"bootstrap.servers": "e1:9092"},
            "credentials": {"sasl.username": "u", "sasl.password": "p"},
            "configuration": {"acks": "all"},
            "topic": "orders-eu",
            "generation": 1,
            # As clients read it: after that nothing unread can be there.
            "until": (NOW + timedelta(days=7)).isoformat(timespec="milliseconds"),
            "cluster_id": "e" * 22,
        }
    ]
    route = route_from_answer(Channel.parse(EU), body)
    assert route.generation == 2
    [earlier] = previous_routes(route, NOW.timestamp())
    assert (earlier.topic, earlier.generation) == ("orders-eu", 1)
    assert previous_routes(route, NOW.timestamp() + 8 * 86_400) == ()


def test_previous_places_are_told_for_a_while_only():
    text = moved(RULES, (EU, "west", "o"))
    history = history_of(RULES, text)
    rules = parse_rules(text + "\nhistory: {previous_for: 3600}\n")
    assert "previous" in answer(rules, *BILLING, history).body
    rules = parse_rules(text + "\nhistory: {previous_for: 0}\n")
    body = answer(rules, *BILLING, history).body
    assert "previous" not in body
    assert body["generation"] == 2


def test_no_more_previous_places_are_told_than_a_client_takes():
    texts = [moved(RULES, (EU, "west", f"o{number}")) for number in range(102)]
    body = answer(parse_rules(texts[-1]), *BILLING, history_of(RULES, *texts)).body
    assert [place["topic"] for place in body["previous"]] == [f"o{n}" for n in range(1, 101)]
    assert len(route_from_answer(Channel.parse(EU), body).previous) == 100


def test_a_previous_place_that_the_caller_may_not_read_is_left_out():
    text = moved(RULES, (EU, "east", "there"))
    before = moved(RULES, (EU, "west", "o"))
    body = answer(parse_rules(text), "reports", BILLING[1], history_of(before, text)).body
    assert body["generation"] == 2
    assert "previous" not in body


def test_a_previous_cluster_is_reached_as_the_rules_say_today():
    text = moved(RULES, (EU, "west", "o"))
    today = text.replace("e1:9092", "e9:9092")
    body = answer(parse_rules(today), *BILLING, history_of(RULES, text, today)).body
    assert body["previous"][0]["connection"] == {"bootstrap.servers": "e9:9092"}


def test_a_previous_cluster_that_the_rules_no_longer_name():
    gone = moved(RULES, (EU, "west", "o"))
    start, end = gone.index("  - name: east"), gone.index("  - name: west")
    gone = (gone[:start] + gone[end:]).replace("    clusters: [east]\n", "")
    body = answer(parse_rules(gone), *BILLING, history_of(RULES, gone)).body
    assert body["previous"][0]["connection"] == {"bootstrap.servers": "e1:9092"}


def test_several_channels_have_a_history_each():
    text = moved(RULES, (EU, "west", "o"))
    query = [
        ("config_profile", "any"),
        ("channel[0]", EU),
        ("channel[1]", "kafka://example.com/orders/us"),
    ]
    routes = answer(parse_rules(text), "billing", query, history_of(RULES, text)).body["routes"]
    assert routes[EU]["generation"] == 2
    assert routes[EU]["previous"][0]["topic"] == "orders-eu"
    us = routes["kafka://example.com/orders/us"]
    assert us["generation"] == 1
    assert "previous" not in us
    assert us["start_at"] == "earliest"


# Records.


def test_a_record_tells_what_changed_and_nothing_secret():
    text = moved(RULES, (EU, "west", "o"))
    first, second = records_of(RULES, text)
    assert json.loads(second)["moves"] == {EU: {"cluster": "west", "topic": "o"}}
    assert "order" not in json.loads(second)
    for secret in ("ops-pass", "billing", "vault", "registry"):
        assert secret not in first + second
    [_, third] = records_of(RULES, RULES.replace("west-eu", "w2"))
    assert json.loads(third)["tables"] == {"west": {"0": {"eu": "w2"}}}
    assert "order" not in json.loads(third)
    [_, fourth] = records_of(RULES, RULES.replace("/west/", "/wild-west/"))
    assert list(json.loads(fourth)["clusters"]) == ["west"]


def test_records_lead_to_the_routing_they_were_made_of():
    texts = (RULES, moved(RULES, (EU, "west", "o")), RULES.replace("west-eu", "w2"))
    for number in range(1, 4):
        assert folded(records_of(*texts[:number])) == routing_in(texts[number - 1])


def test_a_cluster_that_left_and_came_back():
    start, end = RULES.index("  - name: west"), RULES.index("profiles:")
    without = RULES[:start] + RULES[end:]
    records = records_of(RULES, without, RULES)
    assert folded(records) == routing_in(RULES)
    found = track(HistoryBuilder(records).history(), "kafka://example.com/west/eu")
    assert shown(found) == (3, [])


def test_the_newer_half_goes_on_as_before():
    texts = [RULES.replace("orders-eu", f"t{number}") for number in range(10)]
    records = records_of(*texts)
    version, base = halved(records)
    kept = [base, *(r for r in records if json.loads(r)["version"] > version)]
    assert len(kept) == 5
    assert folded(kept) == folded(records)
    whole, rest = (track(HistoryBuilder(r).history()) for r in (records, kept))
    assert rest.generation == whole.generation == 10
    assert shown(rest)[1] == shown(whole)[1][-4:]


def test_what_cannot_be_read_is_left_out_with_all_before_it(caplog):
    records = records_of(RULES, RULES.replace("orders-eu", "b"), RULES.replace("orders-eu", "c"))
    for broken in ("{", "[]", '{"version": 1, "at": "x"}', '{"version": 9, "order": ["nobody"]}'):
        caplog.clear()
        builder = HistoryBuilder([records[0], broken])
        assert not builder.is_sound
        assert "cannot be read" in caplog.text
        assert builder.history().track(Asked(Channel.parse(EU)), {}) is None
    builder = HistoryBuilder([records[0], "{", records[1], records[2]])
    assert track(builder.history()) is None
    whole = first_record(9, NOW, routing_in(RULES))
    later = [
        records[0],
        "{",
        records[1],
        whole,
        next_record(10, NOW, routing_in(RULES), routing_in(RULES.replace("orders-eu", "d"))),
    ]
    assert shown(track(HistoryBuilder(later).history())) == (10, [("east", "orders-eu", 9)])
    assert folded(later) == routing_in(RULES.replace("orders-eu", "d"))


def test_times_and_aliases_in_a_document_are_kept_as_plain_data():
    text = RULES.replace("earliest}", "2026-01-02 03:04:05}")
    table = routing_in(text)["clusters"]["east"]["rules"][0]["lookup"]["table"]
    assert table["us"]["start_at"] == "2026-01-02T03:04:05+00:00"
    assert track(history_of(text), "kafka://example.com/orders/us").generation == 1


# Any sequence of edits, against looking at each document by itself.


def document(dice):
    clusters = []
    for name in dice.sample(["a", "b", "c"], dice.randint(1, 3)):
        rules = []
        for _ in range(dice.randint(1, 2)):
            match = {"path": dice.choice(["/x/.*", "/y/.*", "/.*"])}
            if dice.random() < 0.6:
                keys = dice.sample(["k1", "k2", "k3"], dice.randint(0, 3))
                table = {key: dice.choice(["t1", "t2", {"topic": "t3"}]) for key in keys}
                rules.append({"match": match, "lookup": {"table": table}})
            else:
                rules.append({"match": match, "transform": dice.choice(["{key}", "v2.{key}"])})
        cluster = {"name": name, "connection": {"bootstrap.servers": f"{name}:1"}, "rules": rules}
        if dice.random() < 0.3:
            cluster["tags"] = {"env": "prod"}
        clusters.append(cluster)
    moves = [
        {"channel": f"kafka://h/{path}", "cluster": dice.choice(clusters)["name"], "topic": "m"}
        for path in ("x/k1", "y/k2")
        if dice.random() < 0.3
    ]
    return {"clusters": clusters, "profiles": [], "moves": moves}


def edited(dice, before):
    """Mostly small edits of tables, as people make them."""
    if dice.random() < 0.3:
        return document(dice)
    after = json.loads(json.dumps(before))
    for cluster in after["clusters"]:
        for rule in cluster["rules"]:
            if "lookup" in rule and dice.random() < 0.7:
                table = rule["lookup"]["table"]
                table[dice.choice(["k1", "k2", "k3"])] = dice.choice(["t1", "t2", "t4"])
                if dice.random() < 0.3:
                    table.pop(dice.choice(list(table)))
    return after


def looked_at_one_by_one(texts, asked, tags):
    """The places at all times: (cluster, topic) or None, equal neighbours once."""
    found = []
    for text in texts:
        place = place_of(Routing.of(parse_rules(text)), asked, tags)
        named = (place.cluster.name, place.target.topic) if place and place.target else None
        if not found or found[-1] != named:
            found.append(named)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_any_sequence_of_edits(seed):
    dice = random.Random(seed)
    documents = [document(dice)]
    for _ in range(12):
        documents.append(edited(dice, documents[-1]))
    texts = [json.dumps(one) for one in documents]
    records = records_of(*texts)
    assert folded(records) == routing_in(texts[-1])
    history = HistoryBuilder(records).history()
    for path in ("x/k1", "x/k2", "y/k2", "y/k3", "z"):
        for tags in ({}, {"env": "prod"}):
            asked = Asked(Channel.parse(f"kafka://h/{path}"))
            expected = looked_at_one_by_one(texts, asked, tags)
            found = []
            for _, _, place in history._places(asked, tags):
                named = (place.cluster.name, place.target.topic) if place else None
                if not found or found[-1] != named:
                    found.append(named)
            assert found == expected
            told = history.track(asked, tags)
            assert (told is None) == (expected[-1] is None)
            if told is not None:
                others = {place for place in expected if place not in {None, expected[-1]}}
                assert {
                    (e.place.cluster.name, e.place.target.topic) for e in told.previous
                } == others
                assert told.generation <= len(texts)


def test_a_snapshot_does_not_change_with_later_records():
    records = records_of(RULES, RULES.replace("orders-eu", "b"), RULES.replace("orders-eu", "c"))
    builder = HistoryBuilder(records[:2])
    before = builder.history()
    builder.add(records[2])
    assert track(before).generation == 2
    assert track(builder.history()).generation == 3
