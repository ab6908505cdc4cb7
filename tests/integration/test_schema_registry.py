"""The schema registry of a channel, as the catalog has it."""

import base64
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import kafkaroute
from kafkaroute.catalog.cache.shared import acquire_cache, release_cache
from kafkaroute.errors import CatalogAnswerInvalid, ChannelNotFound, RouteRejected
from kafkaroute.testing.catalog_stub import CatalogStub

BAR = "kafka://example.com/bar"
LOGIN = "reader:hunter2:x"


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        yield stub


def put(stub, **settings):
    more = {"schema_registry": settings} if settings else {}
    stub.put(BAR, topic="t", connection={"bootstrap.servers": "b:1"}, **more)


@pytest.fixture
def registry():
    """(URL, Authorization headers seen)"""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            body = json.dumps(["orders-value"]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_what_the_catalog_says(stub):
    put(stub, url="https://r.example", **{"basic.auth.user.info": LOGIN})
    found = kafkaroute.schema_registry(BAR, stub.settings())
    assert found == {"url": "https://r.example", "basic.auth.user.info": LOGIN}
    assert isinstance(found, dict)
    assert isinstance(found.copy(), dict)


def test_no_secret_is_shown(stub, caplog):
    caplog.set_level(logging.DEBUG)
    put(stub, url="https://u:hunter2@r,https://v:hunter3@x@s/", **{"basic.auth.user.info": LOGIN})
    settings = stub.settings()
    found = kafkaroute.schema_registry(BAR, settings)
    route = kafkaroute.resolve(BAR, settings)
    told = f"{found!r} {found} {route!r} {route.masked()} {caplog.text}"
    assert "hunter" not in told
    assert "https://***@r,https://***@s/" in repr(found)
    assert found["basic.auth.user.info"] == LOGIN


def test_a_channel_without_a_registry(stub):
    put(stub)
    with pytest.raises(ChannelNotFound, match=f"no schema registry for channel {BAR}"):
        kafkaroute.schema_registry(BAR, stub.settings())


def test_an_unset_secret_of_the_catalog_is_told(stub):
    put(stub, url="https://r.example", **{"basic.auth.user.info": ""})
    with pytest.raises(CatalogAnswerInvalid, match=r"'basic\.auth\.user\.info' .* is empty"):
        kafkaroute.schema_registry(BAR, stub.settings())


def test_the_policy_holds(stub):
    put(stub, url="https://r.example", **{"bearer.auth.custom.provider.function": "os.system"})
    with pytest.raises(RouteRejected, match="schema_registry"):
        kafkaroute.schema_registry(BAR, stub.settings())


def test_an_open_clients_route_is_used(stub):
    put(stub, url="https://r.example")
    settings = kafkaroute.Settings.from_dict(stub.settings())
    cache = acquire_cache(settings, "produce")
    try:
        cache.get(BAR)
        found = kafkaroute.schema_registry(BAR, stub.settings(), "produce")
        assert found == {"url": "https://r.example"}
        assert len(stub.requests) == 1
        assert stub.requests[0].query.endswith("&intent=produce")
    finally:
        release_cache(cache)


def test_with_the_real_client(stub, registry):
    pytest.importorskip("authlib", reason="needs confluent-kafka[schemaregistry]")
    from confluent_kafka.schema_registry import SchemaRegistryClient

    url, seen = registry
    put(stub, url=url, **{"basic.auth.user.info": LOGIN})
    with SchemaRegistryClient(kafkaroute.schema_registry(BAR, stub.settings())) as client:
        assert client.get_subjects() == ["orders-value"]
    assert seen == ["Basic " + base64.b64encode(LOGIN.encode()).decode()]
