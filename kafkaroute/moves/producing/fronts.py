"""What a channel's messages pass through before a native client has them."""

from __future__ import annotations

from .hold import Hold

__all__ = ["Fronts"]


class Fronts:
    """Channel → the holds in front of its client, in the order in which a message passes them.

    What is held is older than what produce() brings, also when the channel's client is another one
    by now: until a hold is empty, the channel's messages go through it. A channel that moves on
    meanwhile has several. Changes are made with the dispatch's lock held.
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
