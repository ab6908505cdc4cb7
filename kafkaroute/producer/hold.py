"""Messages that are kept back while their native client is replaced."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..backend.contract import DeliveryCallback, HeadersInput
from .arguments import check_callback
from .reports import Pair, as_it_is
from .undelivered import Undelivered

__all__ = ["Hold", "Holds"]


class Hold:
    """The queue in front of one native client: bounded, and in order over all its channels.

    Appending and the end (:meth:`finish`) share one lock, so that no message is appended to a
    queue that nobody empties any more; one that comes later goes to `forward`.

    Args:
        forward: produces a message to wherever its channel lives now.
        max_messages, max_bytes: bounds, of what is held and what the client still has.

    Attributes:
        elsewhere: how many messages the client still has, as far as :meth:`drained_to` was told.
    """

    def __init__(self, forward: Callable[..., None], max_messages: float, max_bytes: float) -> None:
        self._forward = forward
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._queue: deque[Undelivered] = deque()
        self._first: deque[Undelivered] = deque()
        self._open = True
        self._bytes_in = 0
        self._bytes_out = 0
        self._in_hand = 0
        self.elsewhere = 0

    def drained_to(self, left: int) -> None:
        """The client still has `left` messages."""
        self.elsewhere = left

    def pair(self, channel: str) -> Pair:
        """Senders of `channel` that append."""
        append = self.append

        def plain(value: bytes | str | None = None, key: bytes | str | None = None) -> None:
            append(channel, value, key, -1, None, 0, None)

        def full(*message: Any) -> None:
            append(channel, *message)

        return plain, full, as_it_is

    def append(
        self,
        channel: str,
        value: bytes | str | None,
        key: bytes | str | None,
        partition: int,
        callback: DeliveryCallback | None,
        timestamp: int,
        headers: HeadersInput | None,
    ) -> None:
        """Keep a message. BufferError when there is no room, TypeError for what no client takes."""
        value, key = _owned(value, "value"), _owned(key, "key")
        if callback is not None:
            check_callback(callback)
        if isinstance(headers, list | dict):
            headers = headers.copy()
        now = time.time()
        message = Undelivered(channel, value, key, partition, callback, timestamp, headers, now)
        with self._lock:
            if self._open:
                size = message.size
                if (
                    len(self._queue) + len(self._first) + self.elsewhere >= self._max_messages
                    or self._bytes_in - self._bytes_out + size > self._max_bytes
                ):
                    raise BufferError("Local: Queue full")
                self._bytes_in += size
                self._queue.append(message)
                return
        self._forward(channel, value, key, partition, callback, timestamp, headers)

    def put_first(self, messages: Sequence[Undelivered]) -> None:
        """Older messages, to be released before all that is held; not bounded, as they were
        accepted already."""
        with self._lock:
            self._first.extendleft(reversed(messages))

    def take_on(self, message: Undelivered) -> bool:
        """Keep a message that another hold has released, and that is not bounded therefore.
        False when this one has ended."""
        with self._lock:
            if self._open:
                self._bytes_in += message.size
                self._queue.append(message)
            return self._open

    def __len__(self) -> int:
        # In this order: a message in hand is never missed, at worst counted twice.
        return len(self._first) + len(self._queue) + self._in_hand

    def oldest(self) -> float | None:
        """time.time() of the oldest message's produce()."""
        for queue in (self._first, self._queue):
            with suppress(IndexError):
                return queue[0].accepted_at
        return None

    def release_some(self, send: Callable[[Undelivered], None], most: int) -> None:
        """Send the oldest `most` messages. What `send` raises leaves the message in place."""
        for _ in range(most):
            queue = self._first or self._queue
            if not queue:
                return
            self._in_hand = 1
            try:
                message = queue.popleft()
            except IndexError:  # purged meanwhile
                self._in_hand = 0
                return
            try:
                send(message)
            except BaseException:
                queue.appendleft(message)
                raise
            finally:
                self._in_hand = 0
            if queue is self._queue:
                self._bytes_out += message.size

    def finish(
        self, send: Callable[[Undelivered], None], most: int, swap: Callable[[], None]
    ) -> bool:
        """Send up to `most` messages and, if none is left then, `swap` and end the hold. Nobody
        appends meanwhile, so `most` is to be small. True when the hold has ended."""
        with self._lock:
            self.release_some(send, most)
            if self._first or self._queue:
                return False
            swap()
            self._open = False
            return True

    def take_all(self, *, end: bool) -> list[Undelivered]:
        """Remove and return everything that is held; `end` forwards what comes later."""
        with self._lock:
            self._open = self._open and not end
            taken = [*self._first, *self._queue]
            self._first.clear()
            self._queue.clear()
            self._bytes_out = self._bytes_in
            return taken


def _owned(data: Any, name: str) -> bytes | str | None:
    """`data` itself where it cannot change any more, else a copy."""
    if data is None or isinstance(data, bytes | str):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"{name} must be bytes, str or None, not {type(data).__name__}")


class Holds:
    """Channel → the holds in front of its client, in the order in which a message passes them.

    What is held is older than what produce() brings, also when the channel's client is another one
    by now: until a hold is empty, the channel's messages go through it. A channel that moves on
    meanwhile has several. Changes are made under the table's lock.
    """

    def __init__(self) -> None:
        # Tuples are replaced, not changed: movers read without the lock.
        self._holds: dict[str, tuple[Hold, ...]] = {}

    def add(self, channel: str, hold: Hold) -> None:
        """Messages of `channel` pass `hold`, too, after those that they pass already."""
        holds = self._holds.get(channel, ())
        if hold not in holds:
            self._holds[channel] = (*holds, hold)

    def lift(self, hold: Hold) -> list[str]:
        """Take `hold` away; returns the channels that passed it."""
        passed = [channel for channel, holds in self._holds.items() if hold in holds]
        for channel in passed:
            rest = tuple(other for other in self._holds[channel] if other is not hold)
            if rest:
                self._holds[channel] = rest
            else:
                del self._holds[channel]
        return passed

    def kept(self, channel: str, besides: Hold | None) -> int:
        """How many messages wait in the channel's holds other than `besides`."""
        return sum(len(hold) for hold in self._holds.get(channel, ()) if hold is not besides)

    def first(self, channel: str) -> Hold | None:
        """The hold that produce() appends to."""
        holds = self._holds.get(channel)
        return holds[0] if holds else None

    def behind(self, channel: str, hold: Hold | None) -> Hold | None:
        """Where a message goes that has passed `hold`; None: to the client."""
        holds = self._holds.get(channel, ())
        if hold not in holds:
            return None
        place = holds.index(hold) + 1
        return holds[place] if place < len(holds) else None
