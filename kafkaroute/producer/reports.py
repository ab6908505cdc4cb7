"""What became of the messages of one native client: who hears of it, and on which thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..backend.contract import DeliveryCallback, HeadersInput, NativeSender, Sender
from ..loose import Number
from ..messages import KafkaError, Message
from .sender import ChannelSender, Pair, Reporting, as_it_is, native_of, nobody
from .undelivered import ReportClock, Undelivered

__all__ = ["Desk", "Pair", "Reports", "UnheardFailures", "as_it_is"]

_log = logging.getLogger("kafkaroute.producer")
#: Reports of purge() and close(): the messages were given up on purpose.
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


class Desk(Protocol):
    """Where a reports hands in what it cannot settle by itself."""

    def report_later(
        self, callback: DeliveryCallback, error: KafkaError | None, message: Message
    ) -> None:
        """The application's next poll(), flush() or close() is to call `callback`."""

    def astray(self, reports: Reports, message: Undelivered, topic: str | None) -> bool:
        """A message failed outside a move. True when it follows its channel elsewhere."""

    def unheard(self, channel: str, error: KafkaError) -> None:
        """A message without a callback failed for good."""

    def wants_reports(self, reports: Reports, channel: str, *message: Any) -> None:
        """A message with a callback came to a client that reports failures only."""


class Reports(Reporting):
    """Tells what became of each message. Reports arrive on whichever thread serves the client.

    Args:
        desk: see :class:`Desk`.
        default: the application's own default callback (``on_delivery`` of its configuration).
        quiet: the client reports failures only, and the application expects no more than that
            as long as it passes no callback.

    Attributes:
        diverted: how many movers serve the client: the application's callbacks wait on the desk.
        clock: tells when a message was produced.
        default: for messages without a callback of their own; :func:`.sender.nobody` if none.
        rescuing: a purge is ours; else its reports are meant for the application.
    """

    def __init__(self, desk: Desk, default: DeliveryCallback | None, *, quiet: bool) -> None:
        self._desk = desk
        self.default: DeliveryCallback = default or nobody
        self.quiet = quiet
        self.diverted = 0
        self.rescuing = False
        self.clock = ReportClock()
        self._owners: dict[str, str] = {}
        self._lock = threading.Lock()
        self._collected: list[Undelivered] | None = None

    # Sending.

    def pair(self, channel: str, topic: str, send: Sender, native: NativeSender | None) -> Pair:
        """The senders of `channel` over the client's own `send`, or over what is below it."""
        sender = ChannelSender(self, channel, native_of(send) if native is None else native)
        # A failure of a message without a wrapper tells no more than its topic, so only one
        # channel of each topic may send that way.
        if self.default is not nobody or self._owners.setdefault(topic, channel) != channel:
            return sender.plain, sender.full, as_it_is
        if native is None:
            return send, sender.full, as_it_is
        return native.send, sender.full, native.refuse

    def wants_reports(self, channel: str, *message: Any) -> None:
        """A message with a callback came to this client, which is quiet."""
        self._desk.wants_reports(self, channel, *message)

    # Reports.

    def failed(self, error: KafkaError | None, message: Message) -> None:
        """The native client's default callback: a message that was sent the plain way."""
        if error is not None:
            channel = self._owners[message.topic() or ""]
            self.report(channel, nobody, -1, 0, None, error, message)

    def report(
        self,
        channel: str,
        sent_with: DeliveryCallback,
        partition: Number,
        timestamp: Number,
        headers: HeadersInput | None,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        """A message failed, or a mover serves the client."""
        callback = None if sent_with is nobody else sent_with
        if error is not None and (self.rescuing or error.code() not in _PURGED):
            latency = message.latency() or 0.0
            bounds = self.clock.bounds(latency)
            undelivered = Undelivered(
                channel,
                message.value(),
                message.key(),
                partition,
                callback,
                timestamp,
                headers,
                time.time() - latency,
                message.partition(),
                *bounds,
                error,
                message if error.code() not in _PURGED else None,
            )
            taken = self.take(undelivered)
            self.clock.done()
            if taken or self._desk.astray(self, undelivered, message.topic()):
                return
        if callback is None:
            if error is not None:
                self._desk.unheard(channel, error)
        elif self.diverted:
            self._desk.report_later(callback, error, message)
        else:
            callback(error, message)

    def purged_by_us(self, rescuing: bool) -> None:
        """Whether what fails as purged is to be sent again, as no application asked for it."""
        self.rescuing = rescuing

    def divert(self, more: int) -> None:
        """Begin (1) or end (-1) to keep the application's callbacks for its own threads."""
        with self._lock:
            self.diverted += more

    # Collecting what a move will produce again.

    def take(self, message: Undelivered) -> bool:
        with self._lock:
            if self._collected is None:
                return False
            self._collected.append(message)
            return True

    def collect(self) -> None:
        """From now on failures are kept for :meth:`collected`."""
        with self._lock:
            if self._collected is None:
                self._collected = []

    def collected(self, *, go_on: bool) -> list[Undelivered]:
        """What failed since :meth:`collect`, as reported; `go_on` keeps collecting."""
        with self._lock:
            taken = self._collected
            if taken is None:
                return []
            self._collected = [] if go_on else None
            return taken

    def kept(self) -> list[Undelivered]:
        """What :meth:`collected` would return; it stays."""
        with self._lock:
            return list(self._collected or ())

    def give_back(self, wanted: Callable[[Undelivered], bool]) -> list[Undelivered]:
        """Of what is collected, what is `wanted`; the rest stays."""
        with self._lock:
            taken = [message for message in self._collected or () if wanted(message)]
            if taken:
                assert self._collected is not None
                self._collected[:] = [m for m in self._collected if not wanted(m)]
            return taken

    @property
    def collecting(self) -> bool:
        return self._collected is not None

    def waiting(self) -> int:
        """How many messages are collected."""
        collected = self._collected
        return len(collected) if collected else 0


#: Seconds between two warnings.
_WARN_EVERY = 60.0


class UnheardFailures:
    """Counts them, and warns now and then.

    Attributes:
        count: how many so far.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warned_at = float("-inf")
        self.count = 0

    def add(self, channel: str, error: KafkaError) -> None:
        now = time.monotonic()
        with self._lock:
            self.count += 1
            count, warn = self.count, now - self._warned_at > _WARN_EVERY
            if warn:
                self._warned_at = now
        if warn:
            text = "channel %s: a message without a delivery callback failed (%s); %d so far"
            _log.warning(text, channel, error.name(), count)
