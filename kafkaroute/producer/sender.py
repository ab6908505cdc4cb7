"""How one channel is sent by one native client: there are as many of these as channels in use.

What a report raises is caught and raised again: confluent-kafka (2.16) under Python 3.11 makes a
SystemError of an exception that C code raised, such as a KeyError, and that no ``except`` has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, Final, TypeAlias

from ..backend.contract import DeliveryCallback, HeadersInput, NativeSender, Sender
from ..loose import Data, Number
from ..messages import KafkaError, Message
from .arguments import check_callback

__all__ = [
    "ChannelSender",
    "Full",
    "Pair",
    "Plain",
    "Refuse",
    "Reporting",
    "as_it_is",
    "native_of",
    "nobody",
]

#: Sends value and key; the rest is default.
Plain: TypeAlias = Callable[..., object]
#: Sends value, key, partition, callback, timestamp, headers.
Full: TypeAlias = Callable[..., None]
#: Raises what the application is to see instead of what a :data:`Plain` raised, if that differs.
Refuse: TypeAlias = Callable[[Exception], object]
#: What produce() finds for a channel.
Pair: TypeAlias = tuple[Plain, Full, Refuse]


def nobody(*_: object) -> None:
    """Stands for no callback where there has to be one."""


def as_it_is(_error: Exception) -> None:
    """A :data:`Refuse` of senders that raise what the application is to see."""


#: Final, for compiled code looks other names up each time.
_bound: Final[Any] = MethodType
#: No callback is as_it_is.
_NONE_KNOWN = (as_it_is, nobody)


class Reporting:
    """Who takes the reports of what channels send (see reports.py). A class, not a protocol, so that
    compiled code finds its attributes without a look-up.

    Attributes:
        default: for messages without a callback of their own; :func:`nobody` if none.
        quiet: only failures are reported: a callback wants another client.
        diverted: how many movers serve the client: the application's callbacks wait.
    """

    default: DeliveryCallback
    quiet: bool
    diverted: int

    def wants_reports(self, channel: str, *message: Any) -> None:
        """A message with a callback came to a client that is quiet."""

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


class ChannelSender:
    """Sends with a report for each message that needs one.

    A report's wrapper is a bound method, one small object where partial() makes four: it is paid
    for each message. A callback that comes again gets a wrapper that is kept, and called faster.
    """

    __slots__ = (
        *("_channel", "_deliver", "_headed", "_known", "_last"),
        *("_refuse", "_report", "_send", "_reports"),
    )

    def __init__(self, reports: Reporting, channel: str, native: NativeSender) -> None:
        self._reports = reports
        self._channel = channel
        self._send, self._refuse = native
        self._known: tuple[object, DeliveryCallback] = _NONE_KNOWN
        self._last: object = None
        # Most channels never need these.
        self._deliver: Callable[..., None] | None = None
        self._headed: Callable[..., None] | None = None
        self._report: Callable[..., None] | None = None

    def plain(self, value: Data, key: Data) -> None:
        """As `full`, where the client's own call tells too little."""
        self.full(value, key, -1, None, 0, None)

    def full(  # noqa: C901  # each branch is taken for each message; calls would cost more
        self,
        value: Data,
        key: Data,
        partition: Number,
        callback: DeliveryCallback | None,
        timestamp: Number,
        headers: HeadersInput | None,
    ) -> None:
        if callback is None:
            callback = self._reports.default
        elif self._reports.quiet:
            check_callback(callback)
            self._reports.wants_reports(
                self._channel, value, key, partition, callback, timestamp, headers
            )
            return
        send = self._send  # CPython 3.11 calls what a slot holds faster like this
        try:
            if headers is None and partition == -1 and not timestamp:
                known = self._known  # one read: other threads replace it
                if known[0] is callback:
                    wrapper = known[1]
                elif self._last is callback:
                    wrapper = _deliverer_to(self._reports, self._channel, callback)
                    self._known = (callback, wrapper)
                else:
                    check_callback(callback)
                    self._last = callback
                    if (deliver := self._deliver) is None:
                        deliver = self._deliver = _deliverer(self._reports, self._channel)
                    wrapper = _bound(deliver, callback)
                send(value, key, -1, wrapper)
                return
            if callback is nobody and partition == -1 and not timestamp:
                if (headed := self._headed) is None:
                    headed = self._headed = _headed_reporter(self._reports, self._channel)
                kept = tuple(headers) if type(headers) is list else headers
                send(value, key, -1, _bound(headed, kept), None, 0, headers)
                return
            if callback is not nobody:
                check_callback(callback)
            if (report := self._report) is None:
                report = self._report = _reporter(self._reports, self._channel)
            copy = headers.copy() if type(headers) is list else headers
            wrapper = _bound(report, (callback, partition, timestamp, copy))
            send(value, key, partition, wrapper, None, timestamp, headers)
        except Exception as error:
            self._refuse(error)
            raise


def _deliverer_to(reports: Reporting, channel: str, callback: DeliveryCallback) -> DeliveryCallback:
    """The report of messages with nothing but `callback`."""

    def deliver(error: KafkaError | None, message: Message) -> None:
        try:
            if error is None and not reports.diverted:
                callback(None, message)
            else:
                reports.report(channel, callback, -1, 0, None, error, message)
        finally:  # catches and raises again: see the module
            pass

    return deliver


def _deliverer(reports: Reporting, channel: str) -> Callable[..., None]:
    """The report of messages with nothing but a callback, to be bound to that."""

    def deliver(callback: DeliveryCallback, error: KafkaError | None, message: Message) -> None:
        try:
            if error is None and not reports.diverted:
                callback(None, message)
            else:
                reports.report(channel, callback, -1, 0, None, error, message)
        finally:  # catches and raises again: see the module
            pass

    return deliver


def _reporter(reports: Reporting, channel: str) -> Callable[..., None]:
    """The report of other messages, to be bound to what reports do not tell."""

    def report(
        untold: tuple[DeliveryCallback, Number, Number, HeadersInput | None],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        callback, partition, timestamp, headers = untold
        try:
            if error is None and not reports.diverted:
                callback(None, message)
            else:
                reports.report(channel, callback, partition, timestamp, headers, error, message)
        finally:  # catches and raises again: see the module
            pass

    return report


def _headed_reporter(reports: Reporting, channel: str) -> Callable[..., None]:
    """The report of messages with nothing but headers, to be bound to these."""

    def report(headers: HeadersInput, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            again = list(headers) if isinstance(headers, tuple) else headers
            reports.report(channel, nobody, -1, 0, again, error, message)

    return report


def native_of(send: Sender) -> NativeSender:
    """A backend's sender that is called as a :class:`NativeSender` is."""

    def native(
        value: Data,
        key: Data,
        partition: Number,
        on_delivery: DeliveryCallback | None,
        _unused: None = None,
        timestamp: Number = 0,
        headers: HeadersInput | None = None,
    ) -> None:
        send(value, key, partition, on_delivery, timestamp, headers)

    return NativeSender(native, as_it_is)
