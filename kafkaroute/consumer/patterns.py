"""A Consumer's pattern channels: which channels they stand for now."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ..channel import Channel
from ..errors import KafkarouteError
from ..route import Route
from ..router import Router
from .clients import Member, Members

__all__ = ["Patterns"]

_log = logging.getLogger("kafkaroute.consumer")

#: Seconds until a channel under a pattern that cannot be read is tried again, at most.
_RETRY = 30.0


class Patterns:
    """From what subscribe() was given to the channels that are read.

    Attributes:
        changed: a pattern's answer changed, and nobody has looked yet.
        appeared: channels that a pattern did not stand for when it was subscribed to.
        failing: channels under a pattern that cannot be read now.
    """

    def __init__(self, router: Router[Member], members: Members) -> None:
        self._router = router
        self._members = members
        self._retry_at = float("inf")
        self._under: dict[str, set[str]] = {}
        self.changed = False
        self.appeared: set[str] = set()
        self.failing: dict[str, str] = {}

    @property
    def active(self) -> bool:
        """Whether there is something to look at, now or later."""
        return self.changed or self._retry_at < float("inf")

    def due(self, now: float) -> bool:
        """Whether to look now."""
        return self.changed or now >= self._retry_at

    def heard(self, channel: str) -> None:
        """A route changed: perhaps a pattern's."""
        if channel in self._under:
            self.changed = True

    def look_later(self) -> None:
        """What a pattern stands for has changed, and nobody has acted on it yet."""
        self.changed = True

    def routes(self, wanted: Iterable[str]) -> list[Route]:
        """The routes of the channels in `wanted`, patterns replaced by those under them.

        A channel under a pattern that cannot be had is left out, with a warning, and tried again:
        it must not keep the others from being read.

        Raises what the catalog says of a channel in `wanted` itself.
        """
        self.changed, self._retry_at = False, float("inf")
        named: list[str] = []
        patterns: list[str] = []
        for channel in wanted:
            (patterns if Channel.parse(channel).is_pattern else named).append(channel)
        routes = {route.channel: route for route in self._router.routes(named)}
        under = {pattern: set(self._router.members(pattern)) for pattern in patterns}
        names = sorted(set().union(*under.values()) - routes.keys())
        self._compare(under)
        self._fail(self._look_up(names, routes))
        return [routes[name] for name in (*named, *names) if name in routes]

    def _compare(self, under: dict[str, set[str]]) -> None:
        for pattern, names in under.items():
            if (before := self._under.get(pattern)) is not None:
                self.appeared |= names - before
        self.appeared &= set().union(*under.values())
        self._under = under

    def _look_up(self, names: Iterable[str], routes: dict[str, Route]) -> dict[str, str]:
        """Find the routes of `names`; why some have none."""
        unknown = []
        for name in names:
            if (route := self._router.cache.peek(name)) is not None:
                routes[name] = route
            else:
                unknown.append(name)
        failing: dict[str, str] = {}
        for name, answer in self._router.cache.preload(unknown).items():
            if isinstance(answer, Route):
                routes[name] = answer
            else:
                failing[name] = str(answer)
        for name in names:
            if name in routes and self._members.of_channel(name) is None:
                try:
                    self._router.client(self._router.place(routes[name]))
                except KafkarouteError as error:
                    del routes[name]
                    failing[name] = str(error)
        return failing

    def _fail(self, failing: dict[str, str]) -> None:
        for name, text in failing.items():
            if self.failing.get(name) != text:
                _log.warning("channel %s, which a pattern names, is not read: %s", name, text)
        self.failing = failing
        if failing:
            self.look_again()

    def look_again(self) -> None:
        """Not now: in a while."""
        self._retry_at = time.monotonic() + min(_RETRY, self._router.settings.ttl)

    def forget(self) -> None:
        """Nothing is subscribed to."""
        self._retry_at, self.changed = float("inf"), False
        self._under, self.failing = {}, {}
        self.appeared.clear()
