"""The setting `long_poll`, against the reference service over sockets."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kafkaroute import Settings
from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.long_polls import MOST_WAITING
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.errors import CatalogUnavailable
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.stores.file_store import FileStore

EU = "kafka://example.com/orders/eu"
US = "kafka://example.com/orders/us"


@pytest.fixture
def app(rules_path):
    return CatalogApp(FileStore(rules_path, watch_interval=0.05))


@pytest.fixture
def opened():
    caches = []

    def open_one(url, long_poll=30):
        settings = Settings.from_dict(
            {
                "service_gateway_uri": url,
                "config_profile": "any",
                "basic_auth": ("billing", "billing-pass"),
                "long_poll": long_poll,
            }
        )
        cache = RouteCache(HttpCatalog(settings), long_poll=settings.long_poll)
        caches.append(cache)
        return cache

    yield open_one
    for cache in caches:
        cache.close()


def within(seconds, holds):
    """How long it took until `holds()`."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds
        time.sleep(0.005)
    return time.monotonic() - started


def edit(app, old, new):
    app.store.change(lambda text: text.replace(old, new), author="ops")


def test_changes_are_seen_within_a_second(app, client, opened):
    with client.on_a_port(app) as url:
        cache = opened(url)
        assert cache.get(EU).topic == "orders-eu"
        assert cache.state(EU).next_refresh > 40  # the rules' max_age is 60 s
        within(20, lambda: len(app.polls) == 1)
        took = []
        for old, new in (("orders-eu", "second"), ("second", "third"), ("third", "fourth")):
            edit(app, old, new)
            took.append(within(20, lambda new=new: cache.peek(EU).topic == new))
        assert min(took) < 1, took
        within(20, lambda: len(app.polls) == 1)
        edit(app, "orders-us", "others")  # wakes nobody
        assert len(app.polls) == 1
        assert cache.get(US).topic == "others"


def test_a_channel_that_is_taken_away(app, client, opened):
    with client.on_a_port(app) as url:
        cache = opened(url)
        cache.get(EU)
        within(20, lambda: len(app.polls) == 1)
        edit(app, "eu: orders-eu", "moon: orders-eu")
        within(20, lambda: "knows no" in (cache.state(EU).error or ""))
        assert cache.get(EU).topic == "orders-eu"


def test_polls_are_bounded_and_channels_take_turns(app, client, opened):
    channels = [f"kafka://example.com/team/a/{number}" for number in range(24)]
    with client.on_a_port(app) as url:
        cache, other = opened(url, 2), opened(url, 2)
        for channel in channels[:12]:
            assert cache.get(channel).topic.startswith("a.")
        for channel in channels[12:]:
            other.get(channel)
        within(20, lambda: len(app.polls) == MOST_WAITING)
        most, end = 0, time.monotonic() + 1
        while time.monotonic() < end:
            most = max(most, len(app.polls))
            time.sleep(0.01)
        assert most == MOST_WAITING
        edit(app, "{segment:2}.{key}", "b.{key}")
        # Those that do not wait are asked for when it is their turn, in 2 s.
        caches = dict.fromkeys(channels[:12], cache) | dict.fromkeys(channels[12:], other)
        within(30, lambda: all(c.peek(x).topic.startswith("b.") for x, c in caches.items()))
        assert sum(t.name == "kafkaroute-refresher" for t in threading.enumerate()) == 1


def test_close_ends_polls_at_once(app, client, opened):
    with client.on_a_port(app) as url:
        cache = opened(url, 300)
        cache.get(EU)
        cache.get(US)
        within(20, lambda: len(app.polls) == 2)
        started = time.monotonic()
        cache.close()
        assert time.monotonic() - started < 15
        within(20, lambda: len(app.polls) == 0)


def test_close_ends_polls_over_tls(app, client, opened, tmp_path, monkeypatch):
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    issued.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with client.on_a_port(app, ssl_certfile=str(tmp_path / "server.pem")) as url:
        cache = opened(url, 300)
        cache.get(EU)
        within(20, lambda: len(app.polls) == 1)
        edit(app, "orders-eu", "second")
        within(20, lambda: cache.peek(EU).topic == "second")
        within(20, lambda: len(app.polls) == 1)
        cache.close()
        within(20, lambda: len(app.polls) == 0)


def test_a_service_that_stops_is_not_flooded(app, client, opened):
    asked = []
    app._observers = (*app._observers, lambda request, _: asked.append(request))
    with client.on_a_port(app) as url:
        cache = opened(url)
        cache.get(EU)
        within(20, lambda: len(app.polls) == 1)
        app.polls.close()  # answers every poll at once, from now on
        within(20, lambda: len(asked) == 2)
        time.sleep(1)
        assert len(asked) == 2
        assert cache.get(EU).topic == "orders-eu"
    with pytest.raises(CatalogUnavailable):
        cache.get(US)
    assert cache.get(EU).topic == "orders-eu"


def test_a_child_polls_by_itself_and_leaves_its_parents_polls_alone(app, client, opened):
    with client.on_a_port(app) as url:
        cache = opened(url)
        cache.get(EU)
        within(20, lambda: len(app.polls) == 1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                cache.get(EU)
                within(20, lambda: cache.peek(EU).topic == "second")
                cache.close()
                status = 0
            finally:
                os._exit(status)
        within(20, lambda: len(app.polls) == 2)
        edit(app, "orders-eu", "second")
        within(20, lambda: cache.peek(EU).topic == "second")
        assert os.waitpid(child, 0)[1] == 0
        within(20, lambda: len(app.polls) == 1)
        edit(app, "second", "third")
        within(20, lambda: cache.peek(EU).topic == "third")
