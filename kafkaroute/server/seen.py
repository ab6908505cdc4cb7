"""Who asked for which channel lately, and with which generation: a bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from .memory import SEEN_BYTES

__all__ = ["SeenCallers", "Sighting"]

#: Longer texts are cut (client ids) or not remembered (channels): strangers choose them.
MAX_CLIENT_ID = 200
MAX_CHANNEL = 1_000
#: Bytes of a sighting beside its texts.
_OBJECTS = 300


class Sighting(NamedTuple):
    """The last time that one client of a caller asked for a channel.

    Attributes:
        channel: as asked for, normalised (``Channel.uri``).
        caller: the authenticated caller; "" where everyone may ask.
        client_id: what the client called itself; "" where it did not.
        intent: ``produce``, ``consume`` or "".
        generation: of the route that it was answered; None where the rules tell none.
        at: seconds since the epoch.
    """

    channel: str
    caller: str
    client_id: str
    intent: str
    generation: int | None
    at: float

    def size(self) -> int:
        """Bytes that remembering it takes, about."""
        texts = len(self.channel) + len(self.caller) + len(self.client_id) + len(self.intent)
        return texts + _OBJECTS


_Key = tuple[str, str, str]


class SeenCallers:
    """Remembers sightings, the latest of each (channel, caller, client id, intent).

    For the event loop's thread. What was not heard of for longest is forgotten first.

    Args:
        max_callers: kept for one channel.
        max_total: kept for all channels together.
        max_bytes: of all of them; about 300 each.
    """

    def __init__(
        self,
        *,
        max_callers: int = 1_000,
        max_total: int = 100_000,
        max_bytes: int = SEEN_BYTES,
    ) -> None:
        self._max_callers = max_callers
        self._max_total = max_total
        self._max_bytes = max_bytes
        self._total = 0
        self._bytes = 0
        self._channels: OrderedDict[str, dict[_Key, Sighting]] = OrderedDict()

    def record(
        self,
        channel: str,
        caller: str | None,
        generation: int | None,
        at: float,
        *,
        client_id: str = "",
        intent: str = "",
    ) -> None:
        """`caller` was answered the route of `channel` (or told that it is unchanged)."""
        if len(channel) > MAX_CHANNEL:
            return
        callers = self._channels.get(channel)
        if callers is None:
            callers = self._channels[channel] = {}
        else:
            self._channels.move_to_end(channel)
        key = (caller or "", client_id[:MAX_CLIENT_ID], intent)
        sighting = Sighting(channel, *key, generation, at)
        # Taken out first, so that the table stays in the order of time.
        if callers.pop(key, None) is None:
            self._total += 1
            self._bytes += sighting.size()
        callers[key] = sighting
        if len(callers) > self._max_callers:
            self._forget_first(channel, callers)
        while self._total > self._max_total or self._bytes > self._max_bytes:
            oldest = next(iter(self._channels))
            self._forget_first(oldest, self._channels[oldest])

    def recent(self, channel: str) -> list[Sighting]:
        """The sightings of `channel`, the latest first."""
        return list(reversed(self._channels.get(channel, {}).values()))

    def channels(self) -> list[str]:
        """Every channel that somebody was seen on, the latest first."""
        return list(reversed(self._channels))

    def _forget_first(self, channel: str, callers: dict[_Key, Sighting]) -> None:
        self._bytes -= callers.pop(next(iter(callers))).size()
        self._total -= 1
        if not callers:
            del self._channels[channel]
