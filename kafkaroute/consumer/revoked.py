"""Channels that the catalog refuses although they worked: 401, 403, 404."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from copy import copy

from ..catalog.cache.cache import RouteCache
from ..errors import is_revoked
from ..events import Phase, RouteChange
from ..messages import TopicPartition
from ..places import spot_of
from .clients import Members
from .pauses import Why

__all__ = ["Refusals"]

#: A refused channel's error is raised once in so many seconds, so that others are still read.
_EVERY = 1.0


class Refusals:
    """What becomes of them: ``on_revoked="keep"`` reads on until the route is too old (`max_stale`),
    ``"stop"`` stops at once. A channel that is stopped is paused, and poll() and consume() raise
    the catalog's error once a second until the catalog gives it again.

    A catalog that cannot be asked refuses nothing: then channels are read on.
    """

    def __init__(self, cache: RouteCache, members: Members, mode: str) -> None:
        self._cache = cache
        self._members = members
        self._mode = mode
        self._news: deque[tuple[str, Exception | None]] = deque()
        self._errors: dict[str, Exception] = {}
        self._stopped: set[str] = set()
        self._raise_at = 0.0

    @property
    def active(self) -> bool:
        """Whether a step is due now and then."""
        return bool(self._news or self._errors)

    def heard(self, channel: str, error: Exception | None) -> bool:
        """Called on any thread when refreshing a route begins to fail, or works again; whether it
        matters here."""
        refused = is_revoked(error)
        if not refused and not (error is None and channel in self._errors):
            return False
        self._news.append((channel, error))
        return True

    def step(self) -> Iterator[RouteChange]:
        """Pause and resume what is due; the events."""
        while self._news:
            channel, error = self._news.popleft()
            if self._members.of_channel(channel) is None:
                continue
            before = self._errors.pop(channel, None)
            if error is not None:
                self._errors[channel] = error
            if error is not None and before is None:
                yield self._event(channel, Phase.REVOKED, str(error))
            elif error is None and before is not None:
                if channel in self._stopped:
                    self._stopped.remove(channel)
                    self._resume(channel)
                yield self._event(channel, Phase.RESTORED, "")
        for channel in self._errors.keys() - self._stopped:
            if self._mode == "stop" or self._cache.peek(channel) is None:
                self._stopped.add(channel)
                member = self._members.of_channel(channel)
                if member is not None and (partitions := self._partitions(channel)):
                    member.kept.keep(partitions, Why.REFUSED)

    def came(
        self, partitions: list[TopicPartition], topics: dict[str, str]
    ) -> list[TopicPartition]:
        """Of what the group gave: what is stopped."""
        stopped = {topic for channel, topic in topics.items() if channel in self._stopped}
        return [one for one in partitions if one.topic in stopped]

    def due(self, now: float) -> Exception | None:
        """The error to be raised now."""
        if not self._stopped or now < self._raise_at:
            return None
        self._raise_at = now + _EVERY
        return copy(self._errors[min(self._stopped)])

    def forget(self) -> None:
        """The channels are others now, or this is the child of a fork."""
        self._news.clear()
        self._errors.clear()
        self._stopped.clear()

    def _partitions(self, channel: str) -> list[TopicPartition]:
        member = self._members.of_channel(channel)
        if member is None:
            return []
        topic = member.topics[channel]
        return [one for one in member.client.assignment() if one.topic == topic]

    def _resume(self, channel: str) -> None:
        member = self._members.of_channel(channel)
        if member is not None:
            member.kept.let_go_all(member.topics[channel], Why.REFUSED)

    def _event(self, channel: str, phase: Phase, detail: str) -> RouteChange:
        member = self._members.of_channel(channel)
        assert member is not None
        spot = spot_of(member.place, member.topics[channel], cluster_id=member.cluster_id)
        return RouteChange(channel, "consume", phase, old=spot, detail=detail)
