"""What tests of the snapshot file share."""

import json

import pytest

from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.refresher import Refresher
from kafkaroute.catalog.cache.snapshot import Snapshot
from kafkaroute.errors import (
    CatalogUnavailable,
)
from kafkaroute.testing.scripted_catalog import FakeClock, ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"
BAZ = "kafka://example.com/baz"
DOWN = CatalogUnavailable("catalog down")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub" / "routes.json"


class Process:
    """What one process would have: clocks, a refresher, a catalog, a cache."""

    def __init__(self, path, wall=1_700_000_000.0, script=None, **arguments):
        self.clock = FakeClock(50.0)
        self.wall = FakeClock(wall)
        self.refresher = Refresher(self.clock, threads=False)
        self.snapshot = Snapshot(path, wall=self.wall, refresher=self.refresher)
        self.catalog = ScriptedCatalog(script or {BAR: route_to("t1")})
        arguments = {"ttl": 100.0, "max_stale": 1000.0, "intent": "produce"} | arguments
        self.cache = RouteCache(
            self.catalog,
            clock=self.clock,
            wall=self.wall,
            rng=lambda: 0.5,
            snapshot=self.snapshot,
            refresher=self.refresher,
            **arguments,
        )

    def pass_time(self, seconds):
        end = self.clock.now + seconds
        while (due := self.refresher.next_due()) is not None and due <= end:
            step = max(0.0, due - self.clock.now)
            self.clock.advance(step)
            self.wall.advance(step)
            self.refresher.run_pending()
        self.wall.advance(end - self.clock.now)
        self.clock.now = end


def rows(path):
    scopes = json.loads(path.read_text())["scopes"]
    return {channel: row for scope in scopes.values() for channel, row in scope.items()}
