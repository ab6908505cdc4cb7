"""Anything at all may be answered; only a route becomes a Route."""

import copy
import json

import pytest

from kafkaroute.catalog.answer import answer_from_route, route_from_answer
from kafkaroute.catalog.http.http_catalog import cache_control
from kafkaroute.channel import Channel
from kafkaroute.errors import CatalogAnswerInvalid, ChannelNotFound

BAR = Channel.parse("kafka://example.com/bar")
GOOD = {
    "connection": {"bootstrap.servers": "b1.example.net:9092"},
    "credentials": {
        "security.protocol": "SASL_SSL",
        "sasl.username": "u-1",
        "sasl.password": "p-1",
    },
    "configuration": {"acks": "all", "retries": 3, "enable.idempotence": True, "x": 1.5},
    "channel_mapping": {"bar": "c0t3"},
}


def changed(path, value):
    answer = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    table = answer
    for parent in parents:
        table = table[parent]
    table[last] = value
    return answer


def test_the_contracts_example():
    route = route_from_answer(BAR, GOOD)
    assert route.topic == "c0t3"
    assert route.client_config(client_id="app") == {
        "bootstrap.servers": "b1.example.net:9092",
        "security.protocol": "SASL_SSL",
        "sasl.username": "u-1",
        "sasl.password": "p-1",
        "acks": "all",
        "retries": 3,
        "enable.idempotence": True,
        "x": 1.5,
        "client.id": "app",
    }
    with pytest.raises(TypeError):
        route.connection["bootstrap.servers"] = "evil:1"


@pytest.mark.parametrize("part", ["credentials", "configuration"])
@pytest.mark.parametrize("value", [None, {}])
def test_tables_that_may_be_empty(part, value):
    assert dict(getattr(route_from_answer(BAR, changed(part, value)), part)) == {}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        42,
        4.2,
        "text",
        [],
        [GOOD],
        {},
        {"message": "no Route matched with those values"},
        {"connection": GOOD["connection"]},
        {"channel_mapping": {"bar": "t"}},
        changed("connection", None),
        changed("connection", {}),
        changed("connection", []),
        changed("connection", "b1:9092"),
        changed("connection", {"bootstrap.servers": ""}),
        changed("connection", {"bootstrap.servers": " , "}),
        changed("connection", {"bootstrap.servers": 9092}),
        changed("connection", {"bootstrap.servers": ["b1:9092"]}),
        changed("credentials", []),
        changed("credentials", "secret-1"),
        changed("credentials/sasl.password", ""),
        changed("credentials/sasl.username", ""),
        changed("credentials/sasl.password", None),
        changed("credentials/sasl.password", {"value": "secret-1"}),
        changed("credentials/sasl.password", "secret-1\0"),
        changed("configuration/acks", None),
        changed("configuration/acks", ["all"]),
        changed("configuration/acks", float("nan")),
        changed("configuration/acks", float("inf")),
        changed("configuration/", "x"),
        changed("configuration/a\nb", "x"),
        changed("channel_mapping", None),
        changed("channel_mapping", []),
        changed("channel_mapping", "c0t3"),
        changed("channel_mapping/bar", None),
        changed("channel_mapping/bar", ""),
        changed("channel_mapping/bar", 7),
        changed("channel_mapping/bar", "^.*"),
        changed("channel_mapping/bar", "a b"),
        changed("channel_mapping/bar", "t\n"),
        changed("channel_mapping/bar", ".."),
        changed("channel_mapping/bar", "t" * 250),
        changed("generation", "4"),
        changed("generation", True),
        changed("generation", -1),
        changed("cluster_id", 5),
        changed("start_at", "soon"),
        changed("start_at", "2020-01-01"),
        changed("start_at", "2020-01-01T00:00:00"),
        changed("start_at", 5),
        changed("previous", {}),
        changed("previous", [1]),
        changed("previous", [{"topic": "t"}]),
        changed("previous", [{"connection": {"bootstrap.servers": "o:1"}}]),
        changed("previous", [{"connection": {"bootstrap.servers": "o:1"}, "topic": "^"}]),
        changed(
            "previous",
            [{"connection": {"bootstrap.servers": "o:1"}, "topic": "t", "until": "never"}],
        ),
        changed("schema_registry", "https://sr"),
        changed("schema_registry", {}),
        changed("schema_registry", {"url": ""}),
        changed("schema_registry", {"url": "https://sr", "timeout": 5}),
        changed("schema_registry", {"url": "https://sr", "basic.auth.user.info": ""}),
        changed("routes", []),
        changed("routes", {BAR.uri: None}),
        changed("routes", {BAR.uri: {"connection": GOOD["connection"]}}),
    ],
    ids=lambda answer: json.dumps(answer)[:90],
)
def test_no_route(answer):
    with pytest.raises(CatalogAnswerInvalid, match=r"kafka://example\.com/bar") as caught:
        route_from_answer(BAR, answer)
    for content in ("secret-1", "u-1", "p-1", "b1.example.net"):
        assert content not in str(caught.value)


@pytest.mark.parametrize("mapping", [{}, {"baz": "t"}, {"Bar": "t"}, {"": "t"}])
def test_an_answer_without_the_channels_own_key(mapping):
    with pytest.raises(ChannelNotFound, match=r"kafka://example\.com/bar.*'bar'"):
        route_from_answer(BAR, changed("channel_mapping", mapping))


def test_aliases_of_bootstrap_servers():
    answer = changed("connection", {"metadata.broker.list": "b:1"})
    assert route_from_answer(BAR, answer).client_config()["bootstrap.servers"] == "b:1"


def test_routes_win_over_the_collision_prone_mapping():
    other = Channel.parse("kafka://example.com/baz/bar")
    answer = GOOD | {
        "routes": {
            BAR.uri: {"connection": {"bootstrap.servers": "a:1"}, "topic": "ta"},
            other.uri: {
                "connection": {"bootstrap.servers": "b:1"},
                "channel_mapping": {"bar": "tb"},
            },
        }
    }
    assert route_from_answer(BAR, answer).topic == "ta"
    assert route_from_answer(other, answer).connection["bootstrap.servers"] == "b:1"
    assert route_from_answer(other, answer).topic == "tb"


def test_routes_without_the_channel():
    with pytest.raises(ChannelNotFound, match=r"kafka://example\.com/bar"):
        route_from_answer(BAR, {"routes": {}})
    assert route_from_answer(BAR, GOOD | {"routes": {}}).topic == "c0t3"


@pytest.mark.parametrize(
    "value", ["earliest", "latest", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+01:00"]
)
def test_start_at(value):
    assert route_from_answer(BAR, changed("start_at", value)).start_at == value


def test_there_and_back():
    full = GOOD | {
        "generation": 4,
        "cluster_id": "c",
        "start_at": "earliest",
        "previous": [
            {
                "connection": {"bootstrap.servers": "o:1"},
                "credentials": {"sasl.username": "u"},
                "topic": "was",
                "until": "2031-01-01T00:00:00Z",
                "generation": 3,
                "cluster_id": "old",
            }
        ],
        "schema_registry": {"url": "https://sr", "basic.auth.user.info": "u:p"},
    }
    route = route_from_answer(BAR, full)
    again = json.loads(json.dumps(answer_from_route(route)))
    assert route_from_answer(BAR, again) == route
    assert "p-1" not in repr(route)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (None, None)),
        ("", (None, None)),
        ("no-store, no-cache", (None, None)),
        ("max-age=60", (60.0, None)),
        ("private, Max-Age=60 , stale-if-error=86400", (60.0, 86400.0)),
        ('max-age="5"', (5.0, None)),
        ("max-age=-1", (None, None)),
        ("max-age=1.5, stale-if-error=x", (None, None)),
        ("max-age=1, max-age=9", (1.0, None)),
        ("max-age=" + "9" * 5000, (None, None)),
        ("s-maxage=9", (None, None)),
    ],
)
def test_cache_control(header, expected):
    assert cache_control(header) == expected


@pytest.mark.parametrize("etag", ['"v1"', 'W/"1"', '"\xfc"', "x" * 1000])
def test_a_validator_is_kept(etag):
    assert route_from_answer(BAR, GOOD, etag=etag).etag == etag


@pytest.mark.parametrize("etag", ["", '"a\nb"', '"\x00"', "x" * 60_000, '"\u20ac"', '"a b"'])
def test_a_validator_that_cannot_be_sent_back_is_left_out(etag):
    assert route_from_answer(BAR, GOOD, etag=etag).etag is None


def test_places_that_were_left_are_bounded():
    place = {"connection": {"bootstrap.servers": "a:1"}, "topic": "t"}
    assert len(route_from_answer(BAR, GOOD | {"previous": [place] * 100}).previous) == 100
    with pytest.raises(CatalogAnswerInvalid, match="'previous' names 5000 places, more than 100"):
        route_from_answer(BAR, GOOD | {"previous": [place] * 5000})
