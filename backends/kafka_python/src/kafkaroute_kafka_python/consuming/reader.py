"""The poll loop of a consumer: what kafka-python brings, message by message."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kafkaroute.messages import KafkaError, Message, Origin

from ..errors import to_kafka_error
from ..internals import may_be_fast, private
from ..library import kp
from ..loose import Seconds
from ..network.health import Health
from ..network.joins import resume_join
from ..producing.appender import kafka_partition
from ..translate import ConsumerPlan
from .assignment import Assignment
from .awaited_topics import AwaitedTopics
from .committer import Committer
from .consumed import consumed
from .ends import PartitionEnds
from .fetch_watch import FetchWatch
from .positions import OffsetStore, Stored
from .waiting import FetchBuffer

__all__ = ["Reader", "rest_after"]

_new = tuple.__new__

#: Told as events where there is no ``error_cb``; a single lost connection is not.
_WORTH_AN_EVENT = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._ALL_BROKERS_DOWN}
)
#: Seconds between two looks at the group while the application lives on buffered records.
_SERVICE = 0.1
#: Seconds between two looks at the network of an idle consumer polled with a time-out of 0.
_IDLE = 0.005
#: Longest single wait inside kafka-python, in seconds: events noted elsewhere are seen by then.
_SLICE = 0.25
#: Shortest wait inside kafka-python, in seconds, until the group is joined: with none at all it
#: gives up each step before the step can be done.
_JOINING = 0.002
#: Seconds for which kafka-python is left alone after it reported an error, so that a poll loop does
#: not spin; poll() waits no longer than it may, as other clusters may have messages.
_AFTER_ERROR = 0.1
#: While no coordinator can be found, kafka-python's poll() takes its back-off (0.1 s) whatever time
#: it was given: then it is left alone for so many times as long. Seconds that are no overrun.
_REST, _OVERRUN = 9.0, 0.05
#: Seconds that it is left alone at most: a process that was stopped for a while (a suspended machine, a
#: paused container) seems to have been in poll() all that time.
_LONGEST_REST = 1.0
#: How often in a row a coordinator may call a request invalid before the application hears of it:
#: librdkafka's mock does so to a leader that another member overtook, and joining again heals it.
_INVALID_REQUESTS = 3


def rest_after(took: float) -> float:
    """Seconds to leave kafka-python alone after a poll() that took so many and brought nothing."""
    return min(_REST * took, _LONGEST_REST)


class Reader:
    """Delivers to one thread at a time; events and calls may be queued by any.

    Args:
        open_client: the native consumer, or None when it is not open within so many seconds.

    Attributes:
        calls: what poll() is to call on the application's thread (``on_commit``, ``error_cb``).
    """

    def __init__(
        self,
        plan: ConsumerPlan,
        origins: Mapping[str, Origin],
        store: OffsetStore,
        watch: FetchWatch,
        open_client: Callable[[float], Any],
    ) -> None:
        self._plan = plan
        self._auto_store = plan.auto_store
        self._origins = origins
        self._store = store
        self._watch = watch
        self._open_client = open_client
        self._buffer = FetchBuffer()
        self._events: deque[Message] = deque()
        self._ends = PartitionEnds(
            self._buffer,
            lambda one: watch.end(one, read_committed=plan.read_committed),
            wanted=plan.partition_eof,
        )
        self._native: Any = None
        self._decoded = False
        self._coordinator: Any = None
        self._fetcher: Any = None
        self._completed: Any = None
        self._service_at = 0.0
        self._idle_until = 0.0
        self._rest_until = 0.0
        self._topics = AwaitedTopics()
        self._polled_at: float | None = None
        self._invalid_requests = 0
        self._committer: Committer
        self._assignment: Assignment
        self._health: Health
        self.calls: deque[Callable[[], Any]] = deque()

    def attach(self, assignment: Assignment, health: Health, committer: Committer) -> None:
        """They and this one need each other."""
        self._committer = committer
        self._assignment = assignment
        self._ends.attach(assignment)
        self._health = health

    def opened(self, native: Any) -> None:
        self._native = native
        if may_be_fast():
            from ..fast.fetched_records import decode_quickly

            self._decoded = decode_quickly(native)
        self._coordinator = private(native, "_coordinator")
        self._ends.opened(private(native, "_subscription", "assignment"))
        self._fetcher = private(native, "_fetcher")
        self._completed = private(native, "_fetcher", "_completed_fetches")

    def poll(self, timeout: Seconds) -> Message | None:
        if (
            self._buffer
            and not (self._events or self.calls)
            and time.monotonic() < self._service_at
        ):
            return self._next()
        return self._poll(timeout)

    def _next(self) -> Message:
        partition, message = self._buffer.pop()
        message._origin = self._origins.get(message._topic)
        epoch = message._leader_epoch
        # For each message, so past Stored's own constructor: that is Python, and as slow again.
        after = _new(Stored, (message._offset + 1, -1 if epoch is None else epoch, ""))
        store = self._store
        store.delivered[partition] = after
        if self._auto_store:
            store.stored[partition] = after
        return message  # type: ignore[return-value]  # registered as a Message

    def _next_event(self) -> Message | None:
        while self._events:
            event = self._events.popleft()
            error = event.error()
            if error is None or error.code() != KafkaError._PARTITION_EOF:
                return event
            partition = kafka_partition(event.topic() or "", event.partition() or 0)
            offset = event.offset()
            if offset is None or not self._ends.is_told(partition, offset):
                continue  # from before a seek, or before the partition went
            # As with librdkafka: the end may be behind markers of transactions, and who was told
            # of it has read up to there.
            after = Stored(offset)
            self._store.delivered[partition] = after
            if self._auto_store:
                self._store.stored[partition] = after
            return event
        return None

    def _poll(self, timeout: Seconds) -> Message | None:
        now = time.monotonic()
        self._notice_long_pause(now)
        deadline = None if timeout < 0 else now + timeout
        first = True
        while True:
            self._committer.tick()
            self.serve_calls()
            now = time.monotonic()
            left = _SLICE if deadline is None else min(_SLICE, deadline - now)
            if self._buffer:
                # Only a look at the group: one record at most joins those that wait here.
                if now >= self._rest_until:
                    self._pump(0, 1)
                self._service_at = time.monotonic() + _SERVICE
            elif left > 0 or (first and self._worth_a_look(now)):
                self._look(max(0.0, left))
            self._polled_at = time.monotonic()
            event = self._next_event()
            if event is not None:
                return event
            if self._buffer:
                return self._next()
            first = False
            if deadline is not None and time.monotonic() >= deadline:
                return None

    def gather(self, wanted: int, timeout: Seconds) -> int:
        """Fetch until so many messages and events wait to be taken, or time is up; how many do."""
        now = time.monotonic()
        self._notice_long_pause(now)
        deadline = None if timeout < 0 else now + timeout
        waiting, grows = self._waiting(), True
        while True:
            self._committer.tick()
            self.serve_calls()
            now = time.monotonic()
            left = _SLICE if deadline is None else min(_SLICE, deadline - now)
            if waiting < wanted:
                if left > 0 or (grows and self._worth_a_look(now)):
                    self._look(max(0.0, left))
            elif now >= max(self._service_at, self._rest_until):
                self._pump(0, 1)  # only a look at the group
                self._service_at = time.monotonic() + _SERVICE
            self._polled_at = time.monotonic()
            before, waiting = waiting, self._waiting()
            grows = waiting > before
            if waiting >= wanted:
                return wanted
            # What is there already is had without waiting.
            if deadline is not None and not grows and self._polled_at >= deadline:
                return waiting

    def _waiting(self) -> int:
        return len(self._events) + len(self._buffer) + self._ends.behind_messages()

    def take(self, most: int) -> list[Message]:
        """Up to so many messages and events that wait."""
        taken: list[Message] = []
        while len(taken) < most:
            if (event := self._next_event()) is not None:
                taken.append(event)
            elif self._buffer:
                taken.append(self._next())
            else:
                self._note_ends()
                if not self._events:
                    break
        return taken

    def _worth_a_look(self, now: float) -> bool:
        return now >= self._idle_until or bool(self._completed)

    def _look(self, timeout: float) -> None:
        if (rest := self._rest_until - time.monotonic()) > 0:
            time.sleep(min(rest, timeout))
        elif self._ready(timeout):
            self._pump(timeout, self._plan.batch)
            self._service_at = time.monotonic() + _SERVICE
            self._idle_until = time.monotonic() + _IDLE

    def serve_calls(self) -> None:
        while self.calls:
            self.calls.popleft()()

    def _ready(self, timeout: float) -> bool:
        """Whether the client is open and has something to poll for; waits up to `timeout`."""
        if self._open_client(timeout) is None:
            return False
        if not self._assignment.active:
            if timeout > 0:
                time.sleep(timeout)
            return False
        self._assignment.refresh()
        return self._topics.known(self._assignment, timeout)

    def _pump(self, timeout: float, records: int) -> None:
        """Let kafka-python work; put what it brings into the buffer and the event queue."""
        if self._coordinator is not None and resume_join(self._coordinator):
            timeout = max(timeout, _JOINING)
        if not getattr(self._fetcher, "_next_partition_records", True):
            # What kafka-python has parked of a paused partition it takes up again only where this
            # is None, and it leaves here what it has read to the end: the partition would stand.
            self._fetcher._next_partition_records = None
        began = time.monotonic()
        try:
            brought = self._native.poll(timeout_ms=timeout * 1000, max_records=records)
        except (kp.KafkaError, AssertionError, ValueError, OSError) as exc:
            self._trouble(exc)
            brought = {}
        else:
            self._health.fine()
            self._invalid_requests = 0
        took = time.monotonic() - began
        if took > timeout + _OVERRUN and not brought and self._seeks_coordinator():
            self._rest_until = began + took + rest_after(took)
        owned, paused = self._assignment.owned, self._assignment.paused
        for partition, batch in brought.items():
            if partition in owned:
                messages = batch if self._decoded else list(map(consumed, batch))
                self._buffer.add(partition, messages, paused=partition in paused)
        self._health.look()
        self._assignment.raise_callback_error()
        self._note_ends()

    def _seeks_coordinator(self) -> bool:
        return getattr(self._coordinator, "coordinator_id", 0) is None

    # -- events ----------------------------------------------------------------------------------

    def _trouble(self, exc: BaseException) -> None:
        partitions = exc.args[0] if exc.args else None
        if isinstance(exc, kp.NoOffsetForPartitionError | kp.OffsetOutOfRangeError):
            self._stop_at_reset(exc, partitions)
            return
        if isinstance(exc, kp.InvalidRequestError):
            self._invalid_requests += 1
            if self._invalid_requests < _INVALID_REQUESTS:
                return
        error = to_kafka_error(exc)
        topics = partitions if isinstance(partitions, set | list | tuple) else ()
        topic = next(iter(topics), None)
        self._health.report(error, topic if isinstance(topic, str) else None)
        self._rest_until = time.monotonic() + _AFTER_ERROR

    def _stop_at_reset(self, exc: BaseException, partitions: Any) -> None:
        """``auto.offset.reset=error``: one event per partition, which then stays unread."""
        subscription = private(self._native, "_subscription")
        for partition in sorted(partitions or ()):
            error = to_kafka_error(exc)
            self._events.append(self._event(error, partition.topic, partition.partition))
            if subscription is not None and partition in self._assignment.owned:
                # Waiting for a reset that never comes; a seek ends it.
                subscription.request_offset_reset(partition, -1)
                subscription.set_reset_pending([partition], float("inf"))

    def note(self, error: KafkaError, topic: str | None = None) -> None:
        """Queue an error event; called from any thread."""
        self._events.append(self._event(error, topic))

    def client_error(self, error: KafkaError) -> None:
        """An error of no one topic; called from any thread."""
        callback = self._plan.on_error
        if callback is not None:
            self.calls.append(lambda: callback(error))
        elif error.code() in _WORTH_AN_EVENT:
            self.note(error)

    def _note_ends(self) -> None:
        for partition, at in self._ends.due():
            error = KafkaError(KafkaError._PARTITION_EOF, f"no more messages at offset {at}")
            self._events.append(self._event(error, partition.topic, partition.partition, at))

    def _event(
        self,
        error: KafkaError,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
    ) -> Message:
        origin = self._origins.get(topic) if topic is not None else None
        return Message(topic=topic, partition=partition, offset=offset, error=error, origin=origin)

    def _notice_long_pause(self, now: float) -> None:
        if self._polled_at is None or self._native is None:
            return
        pause = now - self._polled_at
        if pause > self._plan.max_poll_interval and self._assignment.owned:
            text = f"no poll for {pause:.1f} s, more than max.poll.interval.ms"
            self._events.append(self._event(KafkaError(KafkaError._MAX_POLL_EXCEEDED, text)))
            # What is buffered belongs to somebody else by now.
            self.interrupted(list(self._assignment.owned))

    # -- what the assignment says ----------------------------------------------------------------

    def interrupted(self, partitions: list[Any]) -> None:
        """Nothing that was fetched of these partitions may be delivered any more."""
        for partition in partitions:
            first = self._buffer.first_offset(partition)
            if first is not None:
                self._assignment.rewind(partition, first)
            self.jumped(partition)
            self._watch.marks.pop(partition, None)

    def jumped(self, partition: Any) -> None:
        """The position was changed by hand."""
        self._buffer.drop(partition)
        self._ends.forget(partition)

    def paused(self, partition: Any) -> None:
        self._buffer.withhold(partition)

    def resumed(self, partition: Any) -> None:
        self._buffer.release(partition)
        self._ends.forget(partition)

    def closed(self) -> None:
        self._buffer.clear()
        self._events.clear()
