"""The stub answers as the existing service was observed to, request by request."""

import http.client
import json
import time

import pytest

from kafkaroute.testing.catalog_stub import CatalogStub, Fault

BAR = "kafka://example.com/bar"
REQUIRED = "config_profile and channel query parameters are required"
AUTH = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.put(BAR, topic="c0t3", connection={"bootstrap.servers": "a:1"})
        stub.put("kafka://example.com/baz", topic="c1t4", connection={"bootstrap.servers": "b:1"})
        yield stub


def ask(stub, query, headers=AUTH):
    connection = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=5)
    try:
        connection.request("GET", f"/service-gateway?{query}", headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), response.headers
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("config_profile=p&channel=kafka%3A%2F%2Fexample.com%2Fbar", {"bar"}),
        ("config_profile=p&channel[0]=kafka://example.com/bar", {"bar"}),
        ("config_profile=p&channel%5B0%5D=kafka%3A%2F%2Fexample.com%2Fbar", {"bar"}),
        (
            (
                "config_profile=p&channel[0]=kafka://example.com/bar"
                "&channel%5B1%5D=kafka://example.com/baz"
            ),
            {"bar", "baz"},
        ),
        ("config_profile=p&channel=kafka://example.com/bar/", {"bar"}),
        ("config_profile=p&channel=kafka://example.com/bar%3Fx=1", {"bar"}),
        ("config_profile=p&channel=kafka://example.com/bogus", set()),
        (
            (
                "config_profile=p&channel[0]=kafka://example.com/bar"
                "&channel[1]=kafka://example.com/bogus"
            ),
            {"bar"},
        ),
    ],
)
def test_200(stub, query, keys):
    status, answer, headers = ask(stub, query)
    assert status == 200
    assert set(answer) == {"connection", "credentials", "configuration", "channel_mapping"}
    assert set(answer["channel_mapping"]) == keys
    assert headers["ETag"] is None
    assert headers["Cache-Control"] is None


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("channel=kafka://example.com/bar", 400, REQUIRED),
        ("config_profile=p", 400, REQUIRED),
        ("config_profile=p&channel[]=kafka://example.com/bar", 400, REQUIRED),
        ("", 400, REQUIRED),
        (
            "config_profile=p&channel[0]=kafka://example.com/bar&channel[1]=kafka://example.org/bar",
            400,
            "All channels must have the same scheme and host",
        ),
        ("config_profile=p&channel=", 400, "Invalid channel URL"),
        ("config_profile=p&channel=kafka://example.org/bar", 404, "No matching routing rule found"),
    ],
)
def test_refusals(stub, query, status, message):
    got, answer, _ = ask(stub, query)
    assert (got, answer) == (status, {"message": message})


@pytest.mark.parametrize(
    "query",
    [
        "config_profile=p&channel=kafka://example.com/bar&channel=kafka://example.com/baz",
        "config_profile=p&channel=kafka://example.com",
    ],
)
def test_what_breaks_the_service(stub, query):
    status, answer, _ = ask(stub, query)
    assert status == 500
    assert set(answer) == {"message", "request_id"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}])
def test_unknown_callers(stub, headers):
    status, _, answered = ask(stub, "config_profile=p&channel=kafka://example.com/bar", headers)
    assert status == 401
    assert answered["WWW-Authenticate"].startswith("Basic")


def test_profiles(stub):
    stub.put(BAR, topic="t", connection={"b": 1}, configuration={"acks": "all"}, profile="durable")
    _, answer, _ = ask(stub, "config_profile=durable&channel=kafka://example.com/bar")
    assert answer["configuration"] == {"acks": "all"}
    status, answer, _ = ask(stub, "config_profile=other&channel=kafka://example.com/bar")
    assert (status, answer["message"]) == (404, "Configuration profile not found: other")


def test_one_connection_for_several_channels_and_which_one_varies(stub):
    query = "config_profile=p&channel[0]=kafka://example.com/bar&channel[1]=kafka://example.com/baz"
    seen = {ask(stub, query)[1]["connection"]["bootstrap.servers"] for _ in range(40)}
    assert seen == {"a:1", "b:1"}


def test_key_order_varies(stub):
    query = "config_profile=p&channel=kafka://example.com/bar"
    assert len({tuple(ask(stub, query)[1]) for _ in range(40)}) > 1


def test_a_removed_entry_leaves_its_rule(stub):
    stub.remove(BAR)
    status, answer, _ = ask(stub, "config_profile=p&channel=kafka://example.com/bar")
    assert (status, answer["channel_mapping"]) == (200, {})


def test_requests_are_recorded(stub):
    ask(stub, "config_profile=p&channel=kafka://example.com/bar", AUTH | {"X-Test": "1"})
    (request,) = stub.requests
    assert request.query == "config_profile=p&channel=kafka://example.com/bar"
    assert (request.method, request.path, request.status) == ("GET", "/service-gateway", 200)
    assert request.headers["X-Test"] == "1"
    assert request.at <= time.monotonic()


def test_down_keeps_the_port(stub):
    port = stub.port
    for _ in range(3):
        stub.fault = Fault.DOWN
        with pytest.raises(ConnectionRefusedError):
            ask(stub, "x=1")
        stub.fault = None
        assert ask(stub, "config_profile=p&channel=kafka://example.com/bar")[0] == 200
    assert stub.port == port


def test_fail_next_counts(stub):
    stub.fail_next(Fault.STATUS_503, 2)
    query = "config_profile=p&channel=kafka://example.com/bar"
    assert [ask(stub, query)[0] for _ in range(3)] == [503, 503, 200]


def test_what_the_reference_service_adds(stub):
    previous = [{"topic": "was", "connection": {"bootstrap.servers": "o:1"}}]
    stub.cache_control = "max-age=300"
    stub.put(
        BAR,
        topic="c0t3",
        connection={"bootstrap.servers": "a:1"},
        cache_control="max-age=3",
        previous=previous,
        generation=4,
        cluster_id="c",
        start_at="latest",
    )
    status, answer, headers = ask(stub, "config_profile=p&channel=kafka://example.com/bar")
    assert (status, headers["Cache-Control"]) == (200, "max-age=3")
    assert "cache_control" not in answer
    more = {name: answer[name] for name in ("previous", "generation", "cluster_id", "start_at")}
    assert more == {"previous": previous, "generation": 4, "cluster_id": "c", "start_at": "latest"}
    _, _, headers = ask(stub, "config_profile=p&channel=kafka://example.com/baz")
    assert headers["Cache-Control"] == "max-age=300"
