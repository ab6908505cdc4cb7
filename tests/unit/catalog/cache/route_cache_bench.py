"""A route cache over a scripted catalog, on a clock that the test moves."""

import pytest

from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.refresher import Refresher
from kafkaroute.errors import CatalogUnavailable
from kafkaroute.testing.scripted_catalog import FakeClock, ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"
BAZ = "kafka://example.com/baz"
TTL, MAX_STALE = 100.0, 1000.0
DOWN = CatalogUnavailable("catalog http://c cannot be reached: Connection refused")


class Bench:
    """A cache, its catalog and its clock."""

    def __init__(self, rng=lambda: 0.5, **arguments):
        self.clock = FakeClock()
        self.refresher = Refresher(self.clock, threads=False)
        self.catalog = ScriptedCatalog({BAR: route_to("t1")})
        self.changes = []
        self.errors = []
        arguments = {"ttl": TTL, "max_stale": MAX_STALE} | arguments
        self.cache = RouteCache(
            self.catalog,
            intent="produce",
            clock=self.clock,
            rng=rng,
            refresher=self.refresher,
            **arguments,
        )
        self.cache.watch(
            lambda channel, old, new: self.changes.append((channel, old.topic, new.topic))
        )
        self.cache.watch_errors(
            lambda channel, route, error: self.errors.append((channel, route.topic, type(error)))
        )

    def pass_time(self, seconds):
        """In steps to each due time, as the real thread would."""
        end = self.clock.now + seconds
        while (due := self.refresher.next_due()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.refresher.run_pending()
        self.clock.now = end

    @property
    def asked(self):
        return len(self.catalog.questions)


@pytest.fixture
def bench():
    return Bench()
