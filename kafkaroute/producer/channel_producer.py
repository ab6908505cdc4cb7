"""A handle bound to one channel of a Producer."""

from __future__ import annotations

from typing import Any, Final, Protocol, final

from ..backend.contract import DeliveryCallback, HeadersInput
from ..loose import Data, Number
from .arguments import fit, is_partition

__all__ = ["ChannelProducer"]

#: What stands for "any partition" and "now", compared by identity: compiled code compares numbers of
#: an unknown type slower. Others that are equal take the longer way, to the same end.
_ANY: Final[Any] = -1
_NOW: Final[Any] = 0


class Connecting(Protocol):
    """What a handle needs of the Producer that it belongs to."""

    _senders: dict[str, Any]

    def _connect(self, channel: str, *, reports: bool = False) -> tuple[Any, ...]: ...


@final
class ChannelProducer:
    """One channel of a Producer: what ``producer.channel(name)`` returns."""

    __slots__ = ("_connect", "_senders", "name", "producer")

    def __init__(self, producer: Connecting, name: str) -> None:
        self.producer = producer
        self.name = name
        # Pairs of senders; compiled code would take a pair of a known size apart for each message.
        self._senders: dict[str, Any] = producer._senders
        self._connect = producer._connect

    def produce(
        self,
        value: Data = None,
        key: Data = None,
        partition: Number = _ANY,
        callback: DeliveryCallback | None = None,
        on_delivery: DeliveryCallback | None = None,
        timestamp: Number = _NOW,
        headers: HeadersInput | None = None,
    ) -> None:
        """As :meth:`kafkaroute.Producer.produce`, without the channel."""
        pair: tuple[Any, ...] | None = self._senders.get(self.name)
        if on_delivery is not None:
            callback = on_delivery
        if pair is None:
            pair = self._connect(self.name, reports=callback is not None)
        if callback is None and headers is None and partition is _ANY and timestamp is _NOW:
            try:
                pair[0](value, key)
            except Exception as error:
                pair[2](error)
                raise
        else:
            if (
                headers is not None
                or timestamp
                or (partition != -1 and not is_partition(partition))
            ):
                partition, timestamp, headers = fit(partition, timestamp, headers)
            pair[1](value, key, partition, callback, timestamp, headers)

    def __reduce__(self) -> tuple[type[ChannelProducer], tuple[Connecting, str]]:
        return ChannelProducer, (self.producer, self.name)  # compiled ones are not copied without

    def __repr__(self) -> str:
        return f"<ChannelProducer {self.name}>"
