"""Taking turns at the native consumers of one Consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..messages import Message
from .clients import Member

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
            message = self._take_one(member)
            if message is not None:
                member.idle_until = 0.0
                self._turn = turn + 1
                return message
            member.idle_until = now + _REVISIT
        return None

    def _take_one(self, member: Member) -> Message | None:
        return member.client.ready()

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
            self._take(members[0], wanted, seconds, found)
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
            some = self._take(member, min(share, room), 0, found)
            member.idle_until = 0.0 if some else now + _REVISIT
        self._turn = (self._turn + 1) % count
        if len(found) == before:
            self._take(members[self._turn], wanted, seconds, found)

    def _take(self, member: Member, wanted: int, seconds: float, found: list[Message]) -> bool:
        """Add to `found`; whether there was something."""
        messages = member.client.consume(wanted, seconds)
        found += messages
        return bool(messages)


class WatchedPoll(FairPoll):
    """FairPoll for the time in which something moves.

    Args:
        admit: what becomes of a message that a member's native consumer gave: it is delivered, or
            kept back (None).
    """

    __slots__ = ("_admit",)

    def __init__(self, admit: Callable[[Member, Message], Message | None]) -> None:
        super().__init__()
        self._admit = admit

    def ready(self, members: Sequence[Member]) -> Message | None:
        message = super().ready(members)
        if message is None:
            return None
        return self._admit(members[(self._turn - 1) % len(members)], message)

    def _take_one(self, member: Member) -> Message | None:
        # Not ahead: what is fetched may have to be put back.
        return member.client.poll(0)

    def wait(self, members: Sequence[Member], seconds: float) -> Message | None:
        message = super().wait(members, seconds)
        return None if message is None else self._admit(members[self._turn], message)

    def _take(self, member: Member, wanted: int, seconds: float, found: list[Message]) -> bool:
        messages = member.client.consume(wanted, seconds)
        failure: Exception | None = None
        for one in messages:
            try:
                message = self._admit(member, one)
            except Exception as error:  # raised when nothing of the batch is lost
                failure, message = failure or error, one
            if message is not None:
                found.append(message)
        if failure is not None:
            raise failure
        return bool(messages)
