"""HttpCatalog with tokens of a token endpoint, both of them real HTTP servers."""

import base64
import json
import logging
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest

from kafkaroute import Settings
from kafkaroute.catalog.cache.shared import acquire_cache, release_cache
from kafkaroute.catalog.contract import Lookup
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.channel import Channel
from kafkaroute.errors import CatalogUnauthorized, CatalogUnavailable, ConfigurationError
from kafkaroute.testing.catalog_stub import CatalogStub, Fault

BAR = "kafka://example.com/bar"
SECRET = "hunter2 & co"


class TokenEndpoint:
    """Gives token-1, token-2, …; `answer` (status, body, headers) instead, when set."""

    def __init__(self):
        self.requests = []
        self.answer = None
        self.more = {"expires_in": 3600}
        self.delay = 0.0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.requests.append((self.path, dict(self.headers), dict(parse_qsl(form))))
                given = {"access_token": endpoint.last, "token_type": "Bearer"} | endpoint.more
                status, body, headers = endpoint.answer or (200, json.dumps(given), {})
                time.sleep(endpoint.delay)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body.encode())
                except OSError:
                    self.close_connection = True  # the client went away

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/token?tenant=7"

    @property
    def last(self):
        return f"token-{len(self.requests)}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class BearerStub(CatalogStub):
    """Lets in whoever shows one of the tokens in `good`."""

    def __init__(self):
        self.good = {f"token-{number}" for number in range(1, 10)}
        super().__init__(basic_auth=None)

    def answer(self, query, authorization):
        if authorization is None or authorization.removeprefix("Bearer ") not in self.good:
            return 401, {"message": "Unauthorized"}
        return super().answer(query, authorization)

    def tokens(self):
        return [
            one.headers.get("Authorization", "").removeprefix("Bearer ") for one in self.requests
        ]


@pytest.fixture
def endpoint():
    made = TokenEndpoint()
    yield made
    made.close()


@pytest.fixture
def stub():
    with BearerStub() as stub:
        stub.put(BAR, topic="c0t3", connection={"bootstrap.servers": "b1:9092"})
        yield stub


@pytest.fixture
def opened(stub, endpoint):
    catalogs = []

    def open_one(settings=None, **oauth):
        table = {"token_url": endpoint.url, "client_id": "me@x", "client_secret": SECRET} | oauth
        made = HttpCatalog(Settings.from_dict(stub.settings(oauth=table, **settings or {})))
        catalogs.append(made)
        return made

    yield open_one
    for catalog in catalogs:
        catalog.close()


def ask(catalog, timeout=5.0):
    return catalog.lookup(Lookup(Channel.parse(BAR), timeout=timeout))


def test_a_token_is_asked_for_once_and_shown_to_the_catalog(stub, endpoint, opened):
    catalog = opened(scope="routes:read all", audience="kafkaroute")
    assert [ask(catalog).topic for _ in range(3)] == ["c0t3"] * 3
    assert stub.tokens() == ["token-1"] * 3
    [(path, headers, form)] = endpoint.requests
    assert path == "/token?tenant=7"
    assert form == {
        "grant_type": "client_credentials",
        "scope": "routes:read all",
        "audience": "kafkaroute",
    }
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    # RFC 6749, 2.3.1: each form-encoded, then joined.
    shown = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
    assert shown == "me%40x:hunter2+%26+co"
    assert catalog.describe()["authentication"] == "oauth"


def test_credentials_in_the_form(endpoint, opened):
    assert ask(opened(auth_method="client_secret_post")).topic == "c0t3"
    [(_, headers, form)] = endpoint.requests
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "me@x",
        "client_secret": SECRET,
    }
    assert "Authorization" not in headers


def test_a_token_is_exchanged_shortly_before_it_expires(stub, endpoint, opened):
    endpoint.more = {"expires_in": 1}
    catalog = opened()
    ask(catalog)
    time.sleep(0.95)  # a tenth of its life is left
    ask(catalog)
    assert stub.tokens() == ["token-1", "token-2"]


@pytest.mark.parametrize("more", [{}, {"expires_in": "3600"}, {"expires_in": None}])
def test_lives_told_in_other_ways(endpoint, opened, more):
    endpoint.more = more
    catalog = opened()
    assert [ask(catalog).topic for _ in range(2)] == ["c0t3"] * 2
    assert len(endpoint.requests) == 1


def test_threads_share_one_request(stub, endpoint, opened):
    endpoint.delay = 0.3
    catalog = opened()
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask(catalog))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [route.topic for route in found] == ["c0t3"] * 8
    assert len(endpoint.requests) == 1
    assert stub.tokens() == ["token-1"] * 8


def test_a_refused_token_is_exchanged_once(stub, endpoint, opened):
    catalog = opened()
    ask(catalog)
    stub.good.discard("token-1")  # revoked before its time
    assert ask(catalog).topic == "c0t3"
    assert stub.tokens() == ["token-1", "token-1", "token-2"]
    stub.good.clear()
    with pytest.raises(CatalogUnauthorized, match="refused the caller \\(401\\)"):
        ask(catalog)
    assert stub.tokens()[3:] == ["token-2", "token-3"]
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        ((401, '{"error": "invalid_client"}', {}), CatalogUnauthorized, "401: invalid_client"),
        ((400, '{"error": "invalid_scope"}', {}), CatalogUnauthorized, "400: invalid_scope"),
        ((403, f'{{"error": "{SECRET}"}}', {}), CatalogUnauthorized, "the client (403)"),
        ((401, '{"error": {"code": 401}}', {}), CatalogUnauthorized, "the client (401)"),
        ((400, '{"error": ["no"]}', {}), CatalogUnauthorized, "the client (400)"),
        ((500, "x", {}), CatalogUnavailable, "failed (500)"),
        ((418, "x", {}), CatalogUnavailable, "failed (418)"),
        ((302, "", {"Location": "http://x/"}), CatalogUnavailable, "redirect (302)"),
        ((200, f"<html>{SECRET}", {}), CatalogUnavailable, "no access_token"),
        ((200, '{"access_token": "a b"}', {}), CatalogUnavailable, "no access_token"),
        ((200, '{"access_token": "a\\r\\nX: y"}', {}), CatalogUnavailable, "no access_token"),
        ((200, '{"access_token": "t", "token_type": "mac"}', {}), CatalogUnavailable, "not Bearer"),
        ((200, "x" * (1 << 20) + "y", {}), CatalogUnavailable, "larger than 1 MiB"),
    ],
)
def test_no_token(stub, endpoint, opened, caplog, answer, kind, told):
    caplog.set_level(logging.DEBUG)
    endpoint.answer = answer
    catalog = opened()
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        ask(catalog, timeout=0.5)
    assert time.monotonic() - started < 5
    assert told in str(caught.value)
    assert "token endpoint http://127.0.0.1" in str(caught.value)
    assert stub.requests == []
    everything = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(catalog)
    everything += str(catalog.describe()) + catalog.scope()
    for secret in (SECRET, "hunter2", base64.b64encode(b"me%40x:hunter2+%26+co").decode()):
        assert secret not in everything


def test_what_may_pass_is_tried_again(endpoint, opened):
    endpoint.answer = (503, "", {"Retry-After": "0"})
    catalog = opened()
    timer = threading.Timer(0.3, setattr, (endpoint, "answer", None))
    timer.start()
    assert ask(catalog).topic == "c0t3"
    timer.join()
    assert len(endpoint.requests) > 1


def test_the_questions_deadline_holds_for_the_token(stub, endpoint, opened):
    endpoint.delay = 4
    catalog = opened()
    errors = []

    def failing():
        started = time.monotonic()
        with pytest.raises(CatalogUnavailable, match="did not answer in time"):
            ask(catalog, timeout=0.4)
        errors.append(time.monotonic() - started)

    threads = [threading.Thread(target=failing) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    assert max(errors) < 3
    assert stub.requests == []


def test_a_catalog_that_is_down_costs_no_further_token(stub, endpoint, opened):
    catalog = opened()
    ask(catalog)
    stub.fault = Fault.STATUS_503
    with pytest.raises(CatalogUnavailable, match="503"):
        ask(catalog, timeout=0.4)
    assert len(endpoint.requests) == 1


def test_a_child_gets_its_own_token_though_the_parent_is_asking(endpoint, opened, in_child):
    endpoint.delay = 0.5
    catalog = opened()
    asking = threading.Thread(target=ask, args=(catalog,))
    asking.start()
    while not endpoint.requests:
        time.sleep(0.01)

    def work():
        assert ask(catalog).topic == "c0t3"

    in_child(work)
    asking.join()
    assert len(endpoint.requests) == 2


def test_two_ways_to_log_in_are_refused(stub, opened):
    with pytest.raises(ConfigurationError, match="two ways to log in"):
        opened({"basic_auth": ("u", "p")})
    with pytest.raises(ConfigurationError, match="two ways to log in"):
        opened({"service_gateway_uri": stub.uri.replace("//", "//u:p@")})


def test_a_token_endpoint_without_tls_is_warned_about(opened, caplog):
    opened(token_url="http://issuer.example.com/token")
    assert "http://issuer.example.com/token is asked without TLS" in caplog.text
    caplog.clear()
    opened(token_url="https://issuer.example.com/token")
    assert caplog.text == ""


def test_other_secrets_are_other_caches(stub, endpoint):
    table = {"token_url": endpoint.url, "client_id": "me", "client_secret": "one"}
    ask_with = [
        Settings.from_dict(stub.settings(oauth=table | {"client_secret": secret}))
        for secret in ("one", "two", "one")
    ]
    caches = [acquire_cache(settings, "") for settings in ask_with]
    try:
        assert caches[0] is caches[2]
        assert caches[0] is not caches[1]
    finally:
        for cache in caches:
            release_cache(cache)
