"""Channels that a pattern came to stand for while the group runs: none of their messages is old."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from ...members import Member
from ...messages import TopicPartition
from ...router import Router
from .stages import Stage, State, Way

__all__ = ["Beginnings"]


class Beginnings:
    """Has such a channel's partitions begin where a channel that moved would: at the committed
    offset, else at ``start_at``, else at the beginning. ``auto.offset.reset`` does not count: its
    ``latest`` would lose what was written between the topic's first message and the catalog's word
    of it.

    Args:
        ways: the channels that move; those whose partitions wait for their start are among them.
        wake: called when there is something to do.
    """

    def __init__(
        self, router: Router[Member], ways: dict[str, Way], wake: Callable[[], None]
    ) -> None:
        self._router = router
        self._ways = ways
        self._wake = wake
        self.channels: Collection[str] = ()

    def came(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The group gave partitions to `member`."""
        if not self.channels:
            return
        topics = {one.topic for one in partitions}
        for channel, topic in member.topics.items():
            if topic not in topics or channel not in self.channels or channel in self._ways:
                continue
            route = self._router.cache.peek(channel)
            if route is None:
                continue
            if route.topic != topic or self._router.place(route) != member.place:
                route = replace(route, topic=topic, generation=None)  # it moves already
            first = Stage(route, member.place, State.READ, by_move=True)
            first.member, first.cluster_id, first.fresh = member, member.cluster_id, True
            self._ways[channel] = Way(channel, first)
            self._wake()
