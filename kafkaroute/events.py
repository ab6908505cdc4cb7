"""What people see of a move: its phases as events, log lines, counters and a status."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .messages import TopicPartition

__all__ = ["Phase", "RouteChange", "RouteStatus", "Spot"]

_log = logging.getLogger("kafkaroute.moves")


class Phase(StrEnum):
    """Where a move stands. P: in a Producer, C: in a Consumer."""

    #: P, C: the catalog answered another route.
    SEEN = "seen"
    #: P, C: the new place does not answer; the old one stays, the new one is tried again.
    UNREACHABLE = "unreachable"
    #: P, C: the new place answered for the topic.
    OPENED = "opened"
    #: P: produce() now keeps messages. C: the new place is assigned, but not read.
    HELD = "held"
    #: P: the old client has nothing in flight. C: the group read the old place to its end.
    DRAINED = "drained"
    #: P: `count` undelivered messages follow the route.
    RESCUED = "rescued"
    #: P: produce() writes to the new place.
    RELEASED = "released"
    #: P: user name and password were replaced on the live client.
    CREDENTIALS = "credentials replaced"
    #: C: the same place is read with other settings; positions are kept.
    REOPENED = "reopened"
    #: C: the new place is read; the old one is watched for late messages (LINGERING follows).
    LEFT = "left"
    LINGERING = "lingering"
    #: C: a message came from a place that was left; order is not kept for it.
    LATE = "late arrival"
    #: C: the old place was left with `partitions` read, but not committed up to the end.
    UNCOMMITTED = "uncommitted"
    #: C: the old place was left, not known to be empty from the offsets in `partitions` on; or a
    #: place in between was never reached, and is not waited for any more.
    UNREAD = "unread"
    #: C: after a manual assign() nothing moves by itself: assign again.
    ASSIGN_AGAIN = "assign again"
    #: P, C: the old place is no longer used.
    DONE = "done"
    #: P, C: the catalog refuses a channel that worked (401, 403, 404).
    REVOKED = "revoked"
    #: P, C: the catalog gives the channel again.
    RESTORED = "restored"
    #: C: a pattern stands for one channel more, which is read from now on; or for one less.
    APPEARED = "appeared"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place as people name it: no settings, no secrets.

    Attributes:
        bootstrap_servers: as the catalog answered them.
        topic: the topic's name.
        cluster_id: the Kafka cluster's id, where known.
        generation: the route's, where the catalog sends one.
    """

    bootstrap_servers: str
    topic: str
    cluster_id: str | None = None
    generation: int | None = None

    def __str__(self) -> str:
        return f"{self.topic} at {self.bootstrap_servers}"


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One phase of one channel's move.

    Attributes:
        channel: the channel's address.
        intent: ``produce`` or ``consume``.
        phase: what happened.
        old, new: from where to where; None where there is none.
        count: messages concerned (rescued, late), else None.
        partitions: partitions concerned, with offsets (uncommitted, unread).
        detail: one sentence for people, no secrets; may be empty.
        at: time.time() of the event, seconds.
    """

    channel: str
    intent: str
    phase: Phase
    old: Spot | None = None
    new: Spot | None = None
    count: int | None = None
    partitions: tuple[TopicPartition, ...] = ()
    detail: str = ""
    at: float = field(default_factory=time.time)

    def __str__(self) -> str:
        parts = [f"channel {self.channel}: {self.phase}"]
        if self.count is not None:
            parts.append(str(self.count))
        if self.old is not None:
            parts.append(f"from {self.old}")
        if self.new is not None:
            parts.append(f"to {self.new}")
        text = " ".join(parts)
        if self.partitions:
            offsets = ", ".join(f"{p.topic}[{p.partition}]@{p.offset}" for p in self.partitions)
            text += f" ({offsets})"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """How one channel stands now; what ``routes()`` answers.

    Attributes:
        channel: the channel's address.
        spot: the place in use.
        phase: None while nothing moves, else the last phase of the move under way.
        next: places the channel is on its way to, nearest first.
        behind: places that were left and are still drained or watched.
        held: messages kept until the new place may be written (Producer).
        undelivered: messages and events of the whole native client (Producer).
        error: what the catalog or the new place refused with, no secrets; None when all is well.
    """

    channel: str
    spot: Spot | None
    phase: Phase | None = None
    next: tuple[Spot, ...] = ()
    behind: tuple[Spot, ...] = ()
    held: int = 0
    undelivered: int = 0
    error: str | None = None


class Announcer:
    """Tells of each phase once: an INFO line, a counter, the application's callback.

    The callback runs on the thread that moves (a background thread, or the one that polls) and
    must not block: the move waits for it. So it can neither close a Producer (which would wait for
    the move, and is refused) nor flush() one without a limit. What it raises is logged.
    """

    def __init__(self, callback: Callable[[RouteChange], object] | None) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._counts: Counter[Phase] = Counter()

    def tell(self, change: RouteChange) -> None:
        """Announce `change`. Call it without holding locks: the callback may use the client."""
        with self._lock:
            # "rescued 12" and "late arrival 3" count messages, the rest counts events.
            self._counts[change.phase] += 1 if change.count is None else change.count
        _log.info("%s", change)
        if self._callback is not None:
            try:
                self._callback(change)
            except Exception:
                _log.exception("on_route_change raised")

    def counters(self) -> Mapping[str, int]:
        """Phase → how often (rescued and late: how many messages)."""
        with self._lock:
            return {str(phase): count for phase, count in self._counts.items()}
