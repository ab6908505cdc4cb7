"""A handle bound to one channel of a Producer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backend.contract import DeliveryCallback, HeadersInput
from .moves.producing.tracker import Pair

if TYPE_CHECKING:
    from .producer import Producer

__all__ = ["ChannelProducer"]


class ChannelProducer:
    """One channel of a Producer: what ``producer.channel(name)`` returns."""

    __slots__ = ("_connect", "_senders", "name", "producer")

    def __init__(self, producer: Producer, name: str) -> None:
        self.producer = producer
        self.name = name
        self._senders = producer._senders
        self._connect = producer._connect

    def produce(
        self,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryCallback | None = None,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
    ) -> None:
        """As :meth:`kafkaroute.Producer.produce`, without the channel."""
        try:
            pair: Pair | None = self._senders[self.name]
        except KeyError:
            pair = None
        if on_delivery is not None:
            callback = on_delivery
        if pair is None:  # not in the handler: its errors would show the KeyError as their cause
            pair = self._connect(self.name, reports=callback is not None)
        if callback is None and headers is None and partition == -1 and not timestamp:
            try:
                pair[0](value, key)
            except Exception as error:
                pair[2](error)
                raise
        else:
            pair[1](value, key, partition, callback, timestamp, headers)

    def __repr__(self) -> str:
        return f"<ChannelProducer {self.name}>"
