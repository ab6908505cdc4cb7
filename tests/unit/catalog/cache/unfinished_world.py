"""A process with a cache over a scripted catalog, which may be killed and come again."""

import pytest

from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.refresher import Refresher
from kafkaroute.catalog.cache.snapshot import Snapshot
from kafkaroute.testing.scripted_catalog import FakeClock, ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"
WEEK = 7 * 86_400


@pytest.fixture
def path(tmp_path):
    return tmp_path / "routes.json"


class Process:
    """A process with a cache over a scripted catalog, and the snapshot at `path`."""

    now = 1_700_000_000.0

    def __init__(self, path, route, **arguments):
        self.clock = FakeClock(50.0)
        self.refresher = Refresher(self.clock, threads=False)
        wall = lambda: Process.now  # noqa: E731
        self.catalog = ScriptedCatalog({BAR: route})
        self.cache = RouteCache(
            self.catalog,
            clock=self.clock,
            wall=wall,
            rng=lambda: 0.5,
            snapshot=Snapshot(path, wall=wall, refresher=self.refresher) if path else None,
            refresher=self.refresher,
            **{"ttl": 100.0, "max_stale": 1000.0, "intent": "consume"} | arguments,
        )

    def subscribe(self, group="g"):
        """The topics that are not finished."""
        self.cache.get(BAR)
        return [route.topic for route in self.cache.unfinished.of(BAR, group)]

    def move(self, route):
        self.catalog.script[BAR] = route
        self.cache.refresh(BAR)
        self.pass_time(0.1)

    def pass_time(self, seconds):
        end = self.clock.now + seconds
        while (due := self.refresher.next_due()) is not None and due <= end:
            step = max(0.0, due - self.clock.now)
            self.clock.advance(step)
            Process.now += step
            self.refresher.run_pending()
        Process.now += end - self.clock.now
        self.clock.now = end

    def finish(self, topic, group="g"):
        [route] = [r for r in self.cache.unfinished.of(BAR, group) if r.topic == topic]
        Process.now += 1
        self.cache.unfinished.finish(BAR, route, group)


def at(topic, servers="a:1", **more):
    return route_to(topic, connection={"bootstrap.servers": servers}, **more)


def old(topic, servers="o:1", **more):
    return {"topic": topic, "connection": {"bootstrap.servers": servers}} | more
