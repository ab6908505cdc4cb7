"""Taking turns at the native consumers of one Consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .members import Member
from .messages import Message

__all__ = ["FairPoll", "WatchedPoll"]

#: An idle cluster is looked at again after this many seconds while another one has messages: an
#: empty poll costs up to a quarter of a millisecond (kafka-python).
_REVISIT = 0.005
#: While all clusters are idle, a round over all of them takes at most this many seconds. A new
#: message then waits for less than the promised 50 ms.
_ROUND = 0.02
#: The only cluster is polled in slices of this many seconds, so that close() by another thread
#: and signals need not wait longer.
_SLICE = 0.1


class FairPoll:
    """One slice of waiting for messages, with every member getting its turn."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = 0

    def slice_of(self, members: Sequence[Member]) -> float:
        """Seconds to wait for one member while all are idle."""
        return _SLICE if len(members) == 1 else max(0.001, _ROUND / len(members))

    def ready(self, members: Sequence[Member]) -> Message | None:
        """A message that is there already, from the member whose turn it is."""
        now = time.monotonic()
        count = len(members)
        for step in range(count):
            turn = (self._turn + step) % count
            member = members[turn]
            if member.idle_until > now:
                continue
            message = member.client.poll(0)
            if message is not None:
                member.idle_until = 0.0
                self._turn = turn + 1
                return message
            member.idle_until = now + _REVISIT
        return None

    def wait(self, members: Sequence[Member], seconds: float) -> Message | None:
        """Wait up to `seconds` for one message of the member whose turn it is."""
        self._turn = turn = (self._turn + 1) % len(members)
        member = members[turn]
        message = member.client.poll(seconds)
        if message is not None:
            member.idle_until = 0.0
        return message

    def batch(
        self, members: Sequence[Member], wanted: int, seconds: float, found: list[Message]
    ) -> None:
        """Add up to `wanted` messages to `found`: first what is there, an equal share each, else
        what one member gets in `seconds`. What was added stays when a callback raises."""
        count = len(members)
        if count == 1:
            found += members[0].client.consume(wanted, seconds)
            return
        now = time.monotonic()
        share = max(1, wanted // count)
        before = len(found)
        for step in range(count):
            member = members[(self._turn + step) % count]
            room = wanted - (len(found) - before)
            if room <= 0:
                break
            if member.idle_until > now:
                continue
            messages = member.client.consume(min(share, room), 0)
            member.idle_until = 0.0 if messages else now + _REVISIT
            found += messages
        self._turn = (self._turn + 1) % count
        if len(found) == before:
            found += members[self._turn].client.consume(wanted, seconds)


class WatchedPoll(FairPoll):
    """FairPoll for the time in which something moves.

    Args:
        admit: what becomes of a message that a native consumer gave: it is delivered, or kept
            back (None).
    """

    __slots__ = ("_admit",)

    def __init__(self, admit: Callable[[Message], Message | None]) -> None:
        super().__init__()
        self._admit = admit

    def ready(self, members: Sequence[Member]) -> Message | None:
        message = super().ready(members)
        return message if message is None else self._admit(message)

    def wait(self, members: Sequence[Member], seconds: float) -> Message | None:
        message = super().wait(members, seconds)
        return message if message is None else self._admit(message)

    def batch(
        self, members: Sequence[Member], wanted: int, seconds: float, found: list[Message]
    ) -> None:
        came: list[Message] = []
        try:
            super().batch(members, wanted, seconds, came)
        finally:
            found += [message for one in came if (message := self._admit(one)) is not None]
