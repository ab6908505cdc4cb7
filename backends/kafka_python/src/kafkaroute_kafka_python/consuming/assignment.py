"""Which partitions a consumer has, and what the application's rebalance callbacks do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kafkaroute.backend.contract import AssignmentCallback
from kafkaroute.messages import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    TopicPartition,
    kafka_exception,
)

from ..errors import mapped
from ..internals import private
from ..network.pump import Pump
from .offset_queries import forget_answers
from .positions import native_partition
from .rebalance import Listener

__all__ = ["Assignment", "Callbacks"]


class Callbacks:
    """The application's three callbacks, any of them None."""

    __slots__ = ("assign", "lost", "revoke")

    def __init__(
        self,
        assign: AssignmentCallback | None,
        revoke: AssignmentCallback | None,
        lost: AssignmentCallback | None,
    ) -> None:
        self.assign = assign
        self.revoke = revoke
        self.lost = lost or revoke


class _Event:
    """A rebalance callback that is running just now."""

    __slots__ = ("claimed", "handled", "partitions")

    def __init__(self, partitions: list[Any], *, assigning: bool) -> None:
        self.partitions = partitions
        self.claimed: set[Any] | None = set() if assigning else None
        self.handled = False


class Assignment:
    """The assignment of one consumer; everything here runs on the application's thread.

    Args:
        took: called with partitions that are new here, before any record of them can come.
        leaving: called with partitions that go, and whether their offsets may be committed.
    """

    def __init__(
        self,
        took: Callable[[list[Any]], None],
        leaving: Callable[[list[Any], bool], None],
        interrupted: Callable[[list[Any]], None],
    ) -> None:
        self._took = took
        self._leaving = leaving
        self._interrupted = interrupted
        self._native: Any = None
        self._listener: Listener | None = None
        self._callbacks = Callbacks(None, None, None)
        self._topics: list[str] | None = None
        self._patterns: list[re.Pattern[str]] = []
        self._subscribed: list[str] = []
        self._cluster: Any = None
        self._manual: dict[Any, int] | None = None
        self._event: _Event | None = None
        self._declined: set[Any] = set()
        self.owned: set[Any] = set()
        self.paused: set[Any] = set()
        self.error: BaseException | None = None

    def opened(self, native: Any, client: Any) -> None:
        """The native consumer is there: do what was asked for meanwhile."""
        self._native = native
        self._cluster = client.cluster
        pump: Pump = client._net
        self._listener = Listener(pump, self._on_assigned, self._on_revoked, self._on_lost)
        if self._topics is not None:
            self._subscribe()
        elif self._manual is not None:
            manual, self.owned = self._manual, set()
            self._assign(manual)

    @property
    def active(self) -> bool:
        """Whether there is anything to poll for."""
        return self._topics is not None or bool(self._manual)

    def is_known(self, topic: str) -> bool:
        """Whether metadata names the topic's partitions."""
        return bool(self._cluster.partitions_for_topic(topic))

    def ask_metadata(self) -> None:
        """Have metadata fetched anew, in the background."""
        self._cluster.request_update()

    def topics_of_group(self) -> list[str] | None:
        """The subscription, or None under manual assignment."""
        return self._topics

    def topics(self) -> set[str]:
        """The plain topics that metadata must know of."""
        if self._topics is not None:
            return {topic for topic in self._topics if not topic.startswith("^")}
        return {tp.topic for tp in self._manual or ()}

    def subscribe(self, topics: Sequence[str], callbacks: Callbacks) -> None:
        chosen = list(dict.fromkeys(topics))
        if not chosen:
            raise kafka_exception(KafkaError._INVALID_ARG, "no topic to subscribe to")
        patterns = [_pattern(topic) for topic in chosen if topic.startswith("^")]
        if self._manual is not None:
            self.drop_all()
        self._callbacks = callbacks
        self._topics, self._patterns = chosen, patterns
        if self._native is not None:
            self._subscribe()

    def _subscribe(self) -> None:
        """Subscribe to the names, and to what the patterns match just now.

        kafka-python's own patterns never get past a join that is polled in short slices.
        """
        cluster = self._cluster
        if self._patterns:
            cluster.need_all_topic_metadata = True
            cluster.request_update()
        self._subscribed = self._matching()
        self._follow(self._subscribed)

    def refresh(self) -> None:
        """Follow topics that came or went and match a pattern of the subscription."""
        if self._patterns and self._cluster.need_all_topic_metadata:
            matching = self._matching()
            if matching != self._subscribed:
                self._subscribed = matching
                self._follow(matching)

    def _matching(self) -> list[str]:
        names = set(self.topics())
        for topic in self._cluster.topics(exclude_internal_topics=False) if self._patterns else ():
            if any(pattern.match(topic) for pattern in self._patterns):
                names.add(topic)
        return sorted(names)

    def _follow(self, topics: list[str]) -> None:
        native = self._native
        with mapped():
            if not topics:
                self._revoke_all()
                native.unsubscribe()
            else:
                native.subscribe(topics=topics, listener=self._listener)
        if self._patterns:
            # Both calls above end it; discovery needs it.
            self._cluster.need_all_topic_metadata = True
            self._cluster.request_update()
        coordinator = getattr(native, "_coordinator", None)
        if coordinator is not None and topics:
            # A follower that polls in slices shorter than the rebalance would not see it through.
            coordinator.request_rejoin()

    def drop_all(self) -> None:
        """Unsubscribe, or give a manual assignment up; callbacks run here."""
        if self._topics is not None:
            self._revoke_all()
        elif self.owned:
            self._release(sorted(self.owned), commit=True)
        self._topics = None
        self._patterns = []
        self._manual = None
        if self._native is not None:
            with mapped():
                self._native.unsubscribe()

    def _revoke_all(self) -> None:
        if self.owned:
            self._on_revoked(sorted(self.owned))
            self.raise_callback_error()

    # -- manual assignment, and what callbacks do ------------------------------------------------

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        wanted = {native_partition(tp): tp.offset for tp in partitions}
        if self._event is not None or self._topics is not None:
            self._claim(wanted)
            return
        if self.owned:
            self._release(sorted(self.owned), commit=True)
        self._manual = wanted
        if self._native is None:
            self.owned = set(wanted)
            return
        self._native.unsubscribe()  # so that partitions which stay start where they are told to
        self._assign(wanted)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        wanted = {native_partition(tp): tp.offset for tp in partitions}
        if self._event is not None or self._topics is not None:
            self._claim(wanted)
            return
        if already := self.owned & wanted.keys():
            raise kafka_exception(KafkaError._CONFLICT, f"{min(already)} is assigned already")
        self._manual = {**(self._manual or {}), **wanted}
        if self._native is None:
            self.owned = set(self._manual)
        else:
            self._assign(wanted)

    def unassign(self) -> None:
        if self._event is not None or self._topics is not None:
            self._hand_back(sorted(self.owned))
        else:
            self.drop_all()

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        gone = [native_partition(tp) for tp in partitions]
        if self._event is not None or self._topics is not None:
            self._hand_back(gone)
            return
        if unknown := set(gone) - self.owned:
            raise kafka_exception(KafkaError._INVALID_ARG, f"{min(unknown)} is not assigned")
        self._release(gone, commit=True)
        self._manual = {tp: at for tp, at in (self._manual or {}).items() if tp not in set(gone)}
        if self._native is not None:
            with mapped():
                if self._manual:
                    self._native.assign(sorted(self._manual))
                else:
                    self._native.unsubscribe()

    def _assign(self, wanted: dict[Any, int]) -> None:
        """Give the partitions of `wanted`, which are new, to kafka-python, beside the others."""
        everything = self.owned | wanted.keys()
        with mapped():
            self._native.assign(sorted(everything))
        fresh = sorted(wanted.keys() - self.owned)
        self.owned = everything
        self._took(fresh)
        for tp in fresh:
            self.start_at(tp, wanted[tp])
            if tp in self.paused:
                self._native.pause(tp)

    def _claim(self, wanted: dict[Any, int]) -> None:
        """The application assigns what the group gave it, perhaps with offsets of its own."""
        if unknown := wanted.keys() - self.owned:
            raise kafka_exception(
                KafkaError._STATE, f"{min(unknown)} was not assigned to this member of the group"
            )
        event = self._event
        if event is not None and event.claimed is not None:
            event.handled = True
            event.claimed |= wanted.keys()
        for tp, offset in wanted.items():
            self.start_at(tp, offset)

    def _hand_back(self, partitions: list[Any]) -> None:
        event = self._event
        if event is not None and event.claimed is None:
            event.handled = True
            self._release([tp for tp in event.partitions if tp in set(partitions)], commit=True)
        else:
            self._decline(partitions)

    def _decline(self, partitions: Iterable[Any]) -> None:
        """Leave partitions unread that the group has given to this member."""
        chosen = [tp for tp in partitions if tp in self.owned]
        self._interrupted(chosen)
        self._native.pause(*chosen)
        self._declined.update(chosen)

    def start_at(self, tp: Any, offset: int) -> None:
        """Read on from an absolute or logical offset; OFFSET_STORED and INVALID change nothing."""
        native = self._native
        with mapped():
            if offset >= 0:
                native.seek(tp, offset)
            elif offset == OFFSET_BEGINNING:
                native.seek_to_beginning(tp)
            elif offset == OFFSET_END:
                native.seek_to_end(tp)

    def rewind(self, tp: Any, offset: int) -> None:
        """Records from `offset` on are dropped, which kafka-python believes to be read; it may keep
        the partition in the end. (In a cooperative rebalance it has taken it away by now.)"""
        if self._native is not None and tp in self._native.assignment():
            self.start_at(tp, offset)

    def set_start(self, tp: Any, offset: int) -> bool:
        """Before the client is open: where a manually assigned partition is to start."""
        if self._native is not None or not self._manual or tp not in self._manual:
            return False
        self._manual[tp] = offset
        return True

    def current(self) -> list[Any]:
        return sorted(self.owned - self._declined)

    def pause(self, tp: Any) -> None:
        self.paused.add(tp)
        if self._native is not None and tp in self.owned:
            self._native.pause(tp)

    def resume(self, tp: Any) -> None:
        self.paused.discard(tp)
        if self._native is not None and tp in self.owned and tp not in self._declined:
            self._native.resume(tp)

    # -- the group's word ------------------------------------------------------------------------

    def _on_assigned(self, partitions: list[Any]) -> None:
        fresh = [tp for tp in partitions if tp not in self.owned]
        self.owned.update(fresh)
        self._took(fresh)
        self._start_over(fresh)
        for tp in fresh:
            if tp in self.paused:
                self._native.pause(tp)
        event = _Event(partitions, assigning=True)
        self._call(self._callbacks.assign, event)
        if event.handled and event.claimed is not None:
            self._decline(set(partitions) - event.claimed)

    def _start_over(self, partitions: list[Any]) -> None:
        """Read on at the committed offsets.

        After an eager rebalance kafka-python goes on where it was on partitions that it keeps;
        librdkafka asks the group, and what was not committed comes again.
        """
        forget_answers(self._native)
        states = private(self._native, "_subscription", "assignment")
        for tp in partitions if states is not None else ():
            if tp in states:
                states[tp] = type(states[tp])()

    def _on_revoked(self, partitions: list[Any]) -> None:
        self._leave(partitions, self._callbacks.revoke, commit=True)

    def _on_lost(self, partitions: list[Any]) -> None:
        self._leave(partitions, self._callbacks.lost, commit=False)

    def _leave(
        self, partitions: list[Any], callback: AssignmentCallback | None, *, commit: bool
    ) -> None:
        leaving = [tp for tp in partitions if tp in self.owned]
        if not leaving:
            return
        self._interrupted(leaving)
        event = _Event(leaving, assigning=False)
        self._call(callback, event)
        self._release([tp for tp in leaving if tp in self.owned], commit=commit)

    def _release(self, partitions: list[Any], *, commit: bool) -> None:
        self._leaving(partitions, commit)
        self.owned.difference_update(partitions)
        self._declined.difference_update(partitions)

    def _call(self, callback: AssignmentCallback | None, event: _Event) -> None:
        if callback is None:
            return
        self._event = event
        try:
            callback([TopicPartition(tp.topic, tp.partition) for tp in event.partitions])
        except BaseException as exc:
            # It leaves the poll() that is running, once kafka-python has finished its step.
            self.error = exc
        finally:
            self._event = None

    def raise_callback_error(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def _pattern(topic: str) -> re.Pattern[str]:
    try:
        return re.compile(topic)
    except re.error as exc:
        raise kafka_exception(KafkaError._INVALID_ARG, f"not a regular expression: {exc}") from exc
