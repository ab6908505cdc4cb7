"""What a backend may do for speed alone. Each method gives the plain way, so that none is needed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from ..messages import Message

__all__ = ["ConsumerSpeed", "NativeSender", "ProducerSpeed"]


class NativeSender(NamedTuple):
    """A client library's own call, bound to a topic.

    Attributes:
        send: called as ``(value, key)``, ``(value, key, partition, on_delivery)`` or
            ``(value, key, partition, on_delivery, None, timestamp, headers)``, always positionally.
        refuse: called with whatever `send` raised; raises what :class:`Sender` would have raised.
            May return: then it is the error itself.
    """

    send: Callable[..., object]
    refuse: Callable[[Exception], object]


class ProducerSpeed:
    """Of a producer: a call of the client library's own instead of one of the backend's."""

    def native_sender(self, topic: str) -> NativeSender | None:
        """What sender() calls in the end, where that costs less; None where there is no such
        thing. Produces the same."""
        return None


class ConsumerSpeed:
    """Of a consumer: several messages fetched at once, and handed out one by one."""

    @abstractmethod
    def poll(self, timeout: float) -> Message | None:
        """As of the consumer."""

    def ready(self) -> Message | None:
        """A message or event that is there already, or None. As poll(0), but several may be fetched
        at once and handed out one by one, by this call or by poll() and consume(). What was
        fetched and not handed out counts as not delivered: for position(), commits, pause(),
        resume(), seek(), put_back(), assign() and its kin, rebalances and close() it is still with
        the broker."""
        return self.poll(0)

    def fetched(self) -> Message | None:
        """As ready(), but only what was fetched, and None where another call is due first. It may
        be called by any thread, also while another one is inside a call."""
        return None
