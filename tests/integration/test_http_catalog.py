"""HttpCatalog against a real HTTP server that answers like the existing service."""

import datetime as dt
import os
import threading

import pytest

from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.catalog.loader import open_catalog
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnavailable,
    ChannelNotFound,
    ConfigurationError,
)
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import Fault

from . import http_catalog_world
from .http_catalog_world import BAR, CONNECTION, ask

opened = http_catalog_world.opened
stub = http_catalog_world.stub


def test_the_producers_query_is_the_contracts_to_the_byte(stub, opened):
    catalog = opened(
        stub,
        config_profile="durableWrite",
        additional_params={
            "kafka": {"env": "prod"},
            "config_profile": {"type": "producer", "env": "prod"},
        },
    )
    ask(catalog)
    assert stub.requests[0].query == (
        "config_profile=durableWrite&channel=kafka%3A%2F%2Fexample.com%2Fbar"
        "&kafka.env=prod&config_profile.type=producer&config_profile.env=prod"
    )


def test_own_additions_come_last(stub, opened):
    catalog = opened(stub, config_profile="p", client_id="app 1", additional_params={"a": {"b": 1}})
    ask(catalog, intent="produce")
    assert stub.requests[0].query == (
        "config_profile=p&channel=kafka%3A%2F%2Fexample.com%2Fbar&a.b=1&intent=produce&client_id=app+1"
    )


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a b&c=d", "a+b%26c%3Dd"),
        ("ä/€", "%C3%A4%2F%E2%82%AC"),
        ("100%25", "100%2525"),
        ("~-._", "~-._"),
        ("[0]#?", "%5B0%5D%23%3F"),
        (True, "true"),
        (1.5, "1.5"),
    ],
)
def test_parameters_arrive_as_quote_plus_wrote_them(stub, opened, value, encoded):
    ask(opened(stub, additional_params={"v": value}))
    assert stub.requests[0].query.endswith(f"&v={encoded}")


def test_a_query_in_the_uri_is_kept_first(stub, opened):
    catalog = HttpCatalog(
        Settings.from_dict(stub.settings(service_gateway_uri=stub.uri + "?tenant=7"))
    )
    ask(catalog)
    catalog.close()
    assert stub.requests[0].query.startswith("tenant=7&config_profile=default&channel=")


@pytest.mark.parametrize("value", [[1], None, {"x": [2]}])
def test_additional_params_that_cannot_be_sent_are_refused_by_name(stub, opened, value):
    with pytest.raises(ConfigurationError, match="'deep"):
        opened(stub, additional_params={"deep": value})


def test_additional_params_cannot_ask_for_another_channel(stub, opened):
    with pytest.raises(ConfigurationError, match="'channel'"):
        opened(stub, additional_params={"channel": "kafka://example.com/other"})


def test_the_answer_becomes_a_route(stub, opened):
    route = ask(opened(stub))
    assert route.channel == BAR
    assert route.topic == "c0t3"
    assert route.client_config() == {"bootstrap.servers": "b1.example.net:9092", "acks": "all"}


@pytest.mark.parametrize("channel", [BAR + "/", BAR + "?x=1", "KAFKA://EXAMPLE.COM/bar"])
def test_spellings_of_one_channel(stub, opened, channel):
    assert ask(opened(stub), channel).topic == "c0t3"


def test_channels_with_one_last_segment_do_not_mix(stub, opened):
    stub.put("kafka://example.com/a/x", topic="ta", connection={"bootstrap.servers": "a:1"})
    stub.put("kafka://example.com/b/x", topic="tb", connection={"bootstrap.servers": "b:1"})
    catalog = opened(stub)
    for _ in range(10):
        for name in "ab":
            route = ask(catalog, f"kafka://example.com/{name}/x")
            assert (route.topic, route.connection["bootstrap.servers"]) == (f"t{name}", f"{name}:1")


def test_keep_alive_one_connection_for_many_questions(stub, opened):
    catalog = opened(stub)
    for _ in range(20):
        ask(catalog)
    assert {request.connection for request in stub.requests} == {1}


def test_a_connection_that_the_server_closed_is_replaced(stub, opened):
    catalog = opened(stub)
    ask(catalog)
    for _ in range(5):
        stub.drop_connections()
        assert ask(catalog).topic == "c0t3"


def test_many_threads_share_one_catalog(stub, opened):
    catalog = opened(stub)
    topics = []
    threads = [
        threading.Thread(target=lambda: topics.extend(ask(catalog).topic for _ in range(10)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert topics == ["c0t3"] * 80
    assert max(request.connection for request in stub.requests) <= 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_uses_connections_of_its_own(stub, opened, in_child):
    catalog = opened(stub)
    ask(catalog)

    def work():
        assert ask(catalog).topic == "c0t3"

    in_child(work)
    ask(catalog)
    assert [request.connection for request in stub.requests] == [1, 2, 1]


# --- answers by the contract's table ------------------------------------------------------------


def test_no_rule_matches(stub, opened):
    with pytest.raises(ChannelNotFound, match=r"kafka://elsewhere\.example/x.*no rule matches"):
        ask(opened(stub), "kafka://elsewhere.example/x")
    assert len(stub.requests) == 1


def test_a_rule_without_an_entry_names_the_channel(stub, opened):
    with pytest.raises(ChannelNotFound, match=r"kafka://example\.com/bogus.*'bogus'"):
        ask(opened(stub), "kafka://example.com/bogus")


def test_unknown_profile(stub, opened):
    stub.put(BAR, topic="t", connection=CONNECTION, profile="known")
    with pytest.raises(ChannelNotFound, match="no configuration profile"):
        ask(opened(stub, config_profile="unknown"))


def test_a_missing_profile_is_told(stub):
    catalog = HttpCatalog(
        Settings.from_dict({"service_gateway_uri": stub.uri, "basic_auth": stub.basic_auth})
    )
    with pytest.raises(CatalogAnswerInvalid, match="400: it wants a config_profile"):
        ask(catalog)
    catalog.close()


@pytest.mark.parametrize("key", ["sasl.username", "sasl.password"])
def test_an_unset_secret_reference_is_no_route(stub, opened, key):
    credentials = {"sasl.username": "u", "sasl.password": "p", key: ""}
    stub.put(BAR, topic="t", connection=CONNECTION, credentials=credentials)
    with pytest.raises(CatalogAnswerInvalid, match=f"'{key}' in 'credentials' is empty"):
        ask(opened(stub))


# --- additions of the reference service ---------------------------------------------------------


def test_etag_and_cache_control(stub, opened):
    stub.etag = True
    stub.cache_control = "private, max-age=7, stale-if-error=3600"
    catalog = opened(stub)
    route = ask(catalog)
    assert (route.max_age, route.stale_if_error) == (7.0, 3600.0)
    assert ask(catalog, etag=route.etag) is None
    assert stub.requests[1].headers["If-None-Match"] == route.etag
    stub.put(BAR, topic="c0t4", connection=CONNECTION)
    assert ask(catalog, etag=route.etag).topic == "c0t4"
    assert {request.connection for request in stub.requests} == {1}


def test_additions_reach_the_route(stub, opened):
    previous = [
        {
            "connection": {"bootstrap.servers": "old:1"},
            "topic": "was",
            "until": "2031-01-01T00:00:00Z",
        }
    ]
    stub.put(
        BAR,
        topic="t",
        connection=CONNECTION,
        generation=4,
        cluster_id="abc",
        start_at="earliest",
        previous=previous,
        schema_registry={"url": "https://sr.example", "basic.auth.user.info": "u:p"},
    )
    route = ask(opened(stub))
    assert (route.generation, route.cluster_id, route.start_at) == (4, "abc", "earliest")
    assert route.previous[0]["topic"] == "was"
    assert route.schema_registry["url"] == "https://sr.example"


# --- loading ------------------------------------------------------------------------------------


def test_the_scheme_chooses_the_catalog(stub):
    catalog = open_catalog(Settings.from_dict(stub.settings()))
    assert isinstance(catalog, HttpCatalog)
    assert ask(catalog).topic == "c0t3"
    catalog.close()
    catalog.close()
    with pytest.raises(CatalogUnavailable, match="closed"):
        ask(catalog)


@pytest.mark.parametrize("uri", ["http://", "https:///path"])
def test_a_uri_without_a_host(uri):
    with pytest.raises(ConfigurationError, match="host"):
        open_catalog(Settings.from_dict({"service_gateway_uri": uri}))


def test_retry_after_as_a_date(stub, opened):
    stub.retry_after = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )
    stub.fault = Fault.TOO_MANY
    with pytest.raises(CatalogUnavailable, match="429") as caught:
        ask(opened(stub), timeout=5)
    assert 3500 < caught.value.retry_after <= 3600
    assert len(stub.requests) == 1  # an hour does not fit into the deadline
