"""Every way in which a catalog was seen to fail: bounded time, the right error, recovery."""

import gc
import logging
import socket
import threading
import time
import tracemalloc
from itertools import pairwise

import pytest

from kafkaroute.catalog.contract import Lookup
from kafkaroute.catalog.http import HttpCatalog, transport
from kafkaroute.channel import Channel
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogError,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
)
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import CatalogStub, Fault

from .stalls import Stalls

BAR = Channel.parse("kafka://example.com/bar")
SECRETS = {"sasl.username": "alice-of-kafka", "sasl.password": "hunter2-of-kafka"}
TIMEOUT = 1.0
#: What a deadline may be exceeded by, beside the times in which the machine did nothing for us.
SLACK = 0.5

RETRIED = {
    Fault.DOWN: "Connection refused",
    Fault.DROP: "cannot be reached",
    Fault.DROP_MID_BODY: "broke off|cannot be reached",
    Fault.NOT_HTTP: "cannot be reached",
    Fault.TOO_MANY: "429",
    Fault.STATUS_500: "500",
    Fault.STATUS_502: "502",
    Fault.STATUS_503: "503",
    Fault.STATUS_504: "504",
}
HELD = (Fault.HANG, Fault.HANG_MID_BODY, Fault.TRICKLE, Fault.TRICKLE_HEADERS)
NOT_RETRIED = {
    Fault.UNAUTHORIZED: (CatalogUnauthorized, "401"),
    Fault.FORBIDDEN: (CatalogUnauthorized, "403"),
    Fault.NOT_FOUND: (ChannelNotFound, "kafka://example.com/bar"),
    Fault.STATUS_400: (CatalogAnswerInvalid, "400"),
    Fault.REDIRECT: (CatalogAnswerInvalid, "redirect"),
    Fault.HTML: (CatalogAnswerInvalid, "no JSON"),
    Fault.EMPTY: (CatalogAnswerInvalid, "no JSON"),
    Fault.EMPTY_OBJECT: (CatalogAnswerInvalid, "channel_mapping"),
    Fault.LIST: (CatalogAnswerInvalid, "a list"),
    Fault.NULL: (CatalogAnswerInvalid, "null"),
    Fault.NUMBER: (CatalogAnswerInvalid, "a number"),
    Fault.MESSAGE: (CatalogAnswerInvalid, "channel_mapping"),
    Fault.TRUNCATED: (CatalogAnswerInvalid, "no JSON"),
    Fault.NESTED: (ChannelNotFound, "'bar'"),
    Fault.DEEP: (CatalogAnswerInvalid, "no JSON"),
    Fault.NOT_UTF8: (CatalogAnswerInvalid, "no JSON"),
    Fault.HUGE: (CatalogAnswerInvalid, "larger than 1 MiB"),
    Fault.HUGE_DECLARED: (CatalogAnswerInvalid, "larger than 1 MiB"),
    Fault.GZIP_BOMB: (CatalogAnswerInvalid, "larger than 1 MiB"),
}


def test_every_fault_is_tried_here():
    assert {*RETRIED, *HELD, *NOT_RETRIED} == set(Fault)


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.put(
            BAR.uri, topic="c0t3", connection={"bootstrap.servers": "b1:9092"}, credentials=SECRETS
        )
        yield stub


@pytest.fixture
def catalog(stub):
    catalog = HttpCatalog(Settings.from_dict(stub.settings()))
    yield catalog
    catalog.close()


def ask(catalog, timeout=TIMEOUT):
    return catalog.lookup(Lookup(BAR, timeout=timeout))


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "kept-alive"])
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_fault(stub, catalog, fault, warm, caplog):
    caplog.set_level(logging.DEBUG)
    if warm:
        assert ask(catalog).topic == "c0t3"
    before = len(stub.requests)
    stub.fault = fault
    kind, text = NOT_RETRIED.get(fault, (CatalogUnavailable, RETRIED.get(fault, "in time")))
    at_once = fault in NOT_RETRIED
    started = time.monotonic()
    with Stalls() as stalls, pytest.raises(kind, match=text) as caught:
        ask(catalog, timeout=30 if at_once else TIMEOUT)
    took = time.monotonic() - started
    if at_once:
        assert took < 15
        assert len(stub.requests) == before + 1
    else:
        assert took < TIMEOUT + SLACK + stalls.seconds
        if fault in RETRIED and fault is not Fault.DOWN:
            assert len(stub.requests) >= before + 2

    stub.fault = None
    assert ask(catalog).topic == "c0t3"
    told = caplog.text + str(caught.value) + repr(caught.value)
    for secret in (*SECRETS.values(), "user:password", "dXNlcjpwYXNzd29yZA"):
        assert secret not in told


@pytest.mark.parametrize(
    "fault",
    [Fault.DROP, Fault.DROP_MID_BODY, Fault.STATUS_500, Fault.STATUS_503, Fault.TOO_MANY],
    ids=lambda fault: fault.name,
)
def test_a_passing_fault_is_ridden_out(stub, catalog, fault):
    stub.fail_next(fault, 2)
    assert ask(catalog, timeout=20).topic == "c0t3"
    assert len(stub.requests) == 3


def test_down_and_back_within_the_deadline(stub, catalog):
    stub.fault = Fault.DOWN
    timer = threading.Timer(0.5, setattr, (stub, "fault", None))
    timer.start()
    assert ask(catalog, timeout=20).topic == "c0t3"
    timer.join()


def test_retries_back_off(stub, catalog):
    stub.fault = Fault.STATUS_503
    with Stalls() as stalls, pytest.raises(CatalogUnavailable):
        ask(catalog, timeout=15)
    times = [request.at for request in stub.requests]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 6
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1.0), strict=True):
        assert longest / 2 <= pause < longest + SLACK + stalls.seconds


def test_retry_after_is_honoured_within_the_deadline(stub, catalog):
    stub.retry_after = "1"
    stub.fail_next(Fault.STATUS_503)
    assert ask(catalog, timeout=20).topic == "c0t3"
    assert stub.requests[1].at - stub.requests[0].at >= 1


def test_redirects_do_not_carry_the_credentials_on(stub, catalog):
    with CatalogStub() as other:
        stub.redirect_to = other.uri
        stub.fault = Fault.REDIRECT
        with pytest.raises(CatalogAnswerInvalid, match="redirect"):
            ask(catalog)
        assert other.requests == []


@pytest.mark.parametrize("fault", [Fault.HUGE, Fault.HUGE_DECLARED, Fault.GZIP_BOMB])
def test_a_huge_answer_is_not_kept_in_memory(stub, catalog, fault):
    stub.fault = Fault.GZIP_BOMB
    with pytest.raises(CatalogAnswerInvalid):
        ask(catalog)  # the stub makes its bomb
    stub.fault = fault
    gc.collect()
    tracemalloc.start()
    with pytest.raises(CatalogAnswerInvalid):
        ask(catalog)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_slow_answer_within_the_deadline_is_taken(stub, catalog):
    stub.delay = TIMEOUT / 2
    assert ask(catalog, timeout=TIMEOUT * 4).topic == "c0t3"


def test_a_slow_answer_past_the_deadline_is_not(stub, catalog):
    stub.delay = TIMEOUT * 3
    started = time.monotonic()
    with Stalls() as stalls, pytest.raises(CatalogUnavailable, match="in time"):
        ask(catalog)
    assert time.monotonic() - started < TIMEOUT + SLACK + stalls.seconds


def test_an_endless_chunk_line_is_refused():
    """Chunk framing is read line by line, in some urllib3 versions without a bound."""
    sent = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in range(1000):
                        connection.sendall(b"0" * 65536)
                        sent.append(65536)
                except OSError:
                    pass  # refused, as it should be

    thread = threading.Thread(target=serve)
    thread.start()
    uri = f"http://127.0.0.1:{server.getsockname()[1]}/"
    catalog = HttpCatalog(Settings.from_dict({"service_gateway_uri": uri, "config_profile": "p"}))
    started = time.monotonic()
    with Stalls() as stalls, pytest.raises(CatalogError):
        ask(catalog)
    assert time.monotonic() - started < TIMEOUT + SLACK + stalls.seconds
    catalog.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    assert sum(sent) < 50_000_000


def test_a_server_that_never_accepts(catalog, stub):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}/"
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # fill the backlog, so that connecting itself hangs
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        catalog = HttpCatalog(
            Settings.from_dict({"service_gateway_uri": uri, "config_profile": "p"})
        )
        started = time.monotonic()
        with Stalls() as stalls, pytest.raises(CatalogUnavailable, match="in time"):
            ask(catalog, timeout=0.5)
        assert time.monotonic() - started < 0.5 + SLACK + stalls.seconds
        catalog.close()
        for filler in fillers:
            filler.close()


def test_a_name_server_that_does_not_answer(monkeypatch):
    done = threading.Event()

    def slow(*args, **kwargs):
        done.wait(60)
        raise socket.gaierror("too late")

    monkeypatch.setattr(transport.socket, "getaddrinfo", slow)
    catalog = HttpCatalog(
        Settings.from_dict({"service_gateway_uri": "http://slow.invalid/", "config_profile": "p"})
    )
    started = time.monotonic()
    with Stalls() as stalls, pytest.raises(CatalogUnavailable, match="in time"):
        ask(catalog, timeout=0.5)
    assert time.monotonic() - started < 0.5 + SLACK + stalls.seconds
    done.set()
    catalog.close()


def test_a_name_that_does_not_exist():
    catalog = HttpCatalog(
        Settings.from_dict(
            {"service_gateway_uri": "http://nowhere.invalid/", "config_profile": "p"}
        )
    )
    with pytest.raises(CatalogUnavailable, match=r"cannot be reached|in time"):
        ask(catalog)
    catalog.close()


def test_closing_ends_the_wait_between_tries(stub, catalog):
    stub.fault = Fault.DOWN
    timer = threading.Timer(0.3, catalog.close)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CatalogUnavailable):
        ask(catalog, timeout=30)
    assert time.monotonic() - started < 15
    timer.join()
