"""What became of the messages of one native client: who hears of it, and on which thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import MethodType
from typing import Any, Protocol, TypeAlias

from ...backend.contract import DeliveryCallback, HeadersInput, NativeSender, Sender
from ...messages import KafkaError, Message
from .undelivered import ReportClock, Undelivered

__all__ = ["Desk", "Full", "Pair", "Plain", "Refuse", "Tracker", "as_it_is"]

#: Sends value and key; the rest is default.
Plain: TypeAlias = Callable[..., object]
#: Sends value, key, partition, callback, timestamp, headers.
Full: TypeAlias = Callable[..., None]
#: Raises what the application is to see instead of what a :data:`Plain` raised, if that differs.
Refuse: TypeAlias = Callable[[Exception], object]
#: What produce() finds for a channel.
Pair: TypeAlias = tuple[Plain, Full, Refuse]

#: Reports of purge() and close(): the messages were given up on purpose.
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


def _nobody(*_: object) -> None:
    """Stands for no callback where there has to be one."""


def as_it_is(_error: Exception) -> None:
    """A :data:`Refuse` of senders that raise what the application is to see."""


class Desk(Protocol):
    """Where a tracker hands in what it cannot settle by itself."""

    def report_later(
        self, callback: DeliveryCallback, error: KafkaError | None, message: Message
    ) -> None:
        """The application's next poll(), flush() or close() is to call `callback`."""

    def astray(self, tracker: Tracker, message: Undelivered, topic: str | None) -> bool:
        """A message failed outside a move. True when it follows its channel elsewhere."""

    def unheard(self, channel: str, error: KafkaError) -> None:
        """A message without a callback failed for good."""

    def wants_reports(self, tracker: Tracker, channel: str, *message: Any) -> None:
        """A message with a callback came to a client that reports failures only."""


class Tracker:
    """See the module's text. Reports arrive on whichever thread serves the native client.

    Args:
        desk: see :class:`Desk`.
        default: the application's own default callback (``on_delivery`` of its configuration).
        quiet: the client reports failures only, and the application expects no more than that
            as long as it passes no callback.

    Attributes:
        diverted: how many movers serve the client: the application's callbacks wait on the desk.
        clock: tells when a message was produced.
        rescuing: a purge is ours; else its reports are meant for the application.
    """

    def __init__(self, desk: Desk, default: DeliveryCallback | None, *, quiet: bool) -> None:
        self._desk = desk
        self._default = default
        self.quiet = quiet
        self.diverted = 0
        self.rescuing = False
        self.clock = ReportClock()
        self._owners: dict[str, str] = {}
        self._lock = threading.Lock()
        self._collected: list[Undelivered] | None = None
        self._full_of = self._make_full()

    # Sending.

    def pair(self, channel: str, topic: str, send: Sender, native: NativeSender | None) -> Pair:
        """The senders of `channel` over the client's own `send`, or over what is below it."""
        plain: Plain = send
        if native is None:
            native = NativeSender(_native_of(send), as_it_is)
        else:
            plain = native.send
        full = self._full_of(channel, native)
        # A failure of a message without a wrapper tells no more than its topic, so only one
        # channel of each topic may send that way.
        if self._default is None and self._owners.setdefault(topic, channel) == channel:
            return plain, full, native.refuse

        def through_full(value: bytes | str | None, key: bytes | str | None) -> None:
            full(value, key, -1, None, 0, None)

        return through_full, full, as_it_is

    def _make_full(self) -> Callable[[str, NativeSender], Full]:
        """A factory of full senders: what is the same for all channels is kept once."""
        desk, default = self._desk, self._default or _nobody
        nothing = MethodType(_nobody, desk)  # the desk is no callback

        def of_channel(channel: str, native: NativeSender) -> Full:
            # Methods bind one thing in one small object, where partial() makes four: it is paid
            # for each message. What they are methods of is made when there is a first one.
            known = nothing
            deliver: Callable[..., None] | None = None
            report: Callable[..., None] | None = None
            send, refuse = native

            def full(
                value: bytes | str | None,
                key: bytes | str | None,
                partition: int,
                callback: DeliveryCallback | None,
                timestamp: int,
                headers: HeadersInput | None,
            ) -> None:
                nonlocal known, deliver, report
                if callback is None:
                    callback = default
                elif self.quiet:
                    desk.wants_reports(
                        self, channel, value, key, partition, callback, timestamp, headers
                    )
                    return
                try:
                    if headers is None and partition == -1 and not timestamp:
                        last = known  # one read: other threads replace it
                        if last.__self__ is not callback:
                            if deliver is None:
                                deliver = self._deliverer(channel)
                            known = last = MethodType(deliver, callback)
                        send(value, key, -1, last)
                        return
                    if report is None:
                        report = self._reporter(channel)
                    kept = headers.copy() if headers.__class__ is list else headers
                    wrapper = MethodType(report, (callback, partition, timestamp, kept))
                    send(value, key, partition, wrapper, None, timestamp, headers)
                except Exception as error:
                    refuse(error)
                    raise

            return full

        return of_channel

    # Reports.

    def failed(self, error: KafkaError | None, message: Message) -> None:
        """The native client's default callback: a message that was sent the plain way."""
        if error is not None:
            channel = self._owners[message.topic() or ""]
            self._report(channel, None, -1, 0, None, error, message)

    def _deliverer(self, channel: str) -> Callable[..., None]:
        """Reports of messages with nothing but a callback, which methods of it bind."""

        def deliver(callback: DeliveryCallback, error: KafkaError | None, message: Message) -> None:
            if error is None and not self.diverted:
                callback(None, message)
            else:
                self._report(channel, callback, -1, 0, None, error, message)

        return deliver

    def _reporter(self, channel: str) -> Callable[..., None]:
        """Reports of other messages; methods of it bind what reports do not tell."""

        def report(
            untold: tuple[DeliveryCallback, int, int, HeadersInput | None],
            error: KafkaError | None,
            message: Message,
        ) -> None:
            callback, partition, timestamp, headers = untold
            if error is None and not self.diverted:
                callback(None, message)
            else:
                self._report(channel, callback, partition, timestamp, headers, error, message)

        return report

    def _report(
        self,
        channel: str,
        callback: DeliveryCallback | None,
        partition: int,
        timestamp: int,
        headers: HeadersInput | None,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if callback is _nobody:
            callback = None
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

    @property
    def collecting(self) -> bool:
        return self._collected is not None

    def waiting(self) -> int:
        """How many messages are collected."""
        collected = self._collected
        return len(collected) if collected else 0


def _native_of(send: Sender) -> Callable[..., None]:
    """A backend's sender that is called as a :class:`NativeSender` is."""

    def native(
        value: bytes | str | None,
        key: bytes | str | None,
        partition: int,
        on_delivery: DeliveryCallback | None,
        _unused: None = None,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
    ) -> None:
        send(value, key, partition, on_delivery, timestamp, headers)

    return native
