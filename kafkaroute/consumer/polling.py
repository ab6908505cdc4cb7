"""Taking turns at the native consumers of one Consumer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from ..backend.contract import BackendConsumer
from ..errors import KafkaException
from ..messages import KafkaError, Message, TopicPartition
from .clients import Member, Members

__all__ = ["Batch", "FairPoll", "WatchedPoll"]

_log = logging.getLogger("kafkaroute.consumer")

#: An idle cluster is looked at again after this many seconds while another one has messages: an
#: empty poll costs up to a quarter of a millisecond (kafka-python).
_REVISIT = 0.005
#: While all clusters are idle, a round over all of them takes at most this many seconds. A new
#: message then waits for less than the promised 50 ms.
_ROUND = 0.02
#: The only cluster is polled in slices of this many seconds, so that close() by another thread
#: and signals need not wait longer.
_SLICE = 0.1


#: The event that comes again when messages before it do.
_EOF = KafkaError._PARTITION_EOF


class Batch:
    """What one call of consume() brings.

    Raises:
        ValueError: for more than a million (as confluent-kafka's consumer), or fewer than none.

    Attributes:
        wanted: how many messages and events, at most.
        found: what the call returns.
        waiting: how many wait in each member; they are not handed out yet.
    """

    __slots__ = ("found", "waiting", "wanted")

    def __init__(self, wanted: int) -> None:
        if wanted < 0 or wanted > 1_000_000:
            raise ValueError("num_messages must be between 0 and 1000000")
        self.wanted = wanted
        self.found: list[Message] = []
        self.waiting: dict[Member, int] = {}

    def room(self) -> int:
        """How many more are wanted."""
        return self.wanted - len(self.found) - sum(self.waiting.values())

    def add(self, messages: Iterable[Message]) -> None:
        """These are returned as well."""
        self.found += messages

    def given_back(self, members: Members) -> list[Message]:
        """Have what was found read again, as it cannot be returned; the events of it, which do not
        come again."""
        for member in members.all if self.found else ():
            own = [
                message
                for message in self.found
                if (origin := message.origin()) and members.current(origin.place) == member.place
            ]
            _give_back(member.client, own)
        return [one for one in self.found if (e := one.error()) is not None and e.code() != _EOF]


def _give_back(client: BackendConsumer, messages: Iterable[Message]) -> None:
    """Have messages that `client` gave, and that the application does not get now, read again."""
    first: dict[tuple[str, int], int] = {}
    for message in messages:
        topic, number, offset = message.topic(), message.partition(), message.offset()
        if message.error() is None and None not in (topic, number, offset):
            key = (str(topic), int(number or 0))
            first[key] = min(first.get(key, int(offset or 0)), int(offset or 0))
    for key, at in first.items():
        try:
            client.put_back(TopicPartition(*key, at))
        except KafkaException as error:
            _log.info("%s [%d] has gone, and is not read again from %d: %s", *key, at, error)


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

    def gather(self, members: Sequence[Member], batch: Batch, seconds: float) -> None:
        """Have messages wait for `batch`: first what is there, an equal share each, else what one
        member gets in `seconds`. What waits stays when a callback raises."""
        count = len(members)
        if count == 1:
            self._gather(members[0], batch.room(), seconds, batch)
            return
        now = time.monotonic()
        before = batch.room()
        share = max(1, before // count)
        for step in range(count):
            member = members[(self._turn + step) % count]
            if (room := batch.room()) <= 0:
                break
            if member.idle_until > now:
                continue
            some = self._gather(member, min(share, room), 0, batch)
            member.idle_until = 0.0 if some else now + _REVISIT
        self._turn = (self._turn + 1) % count
        if batch.room() == before:
            self._gather(members[self._turn], before, seconds, batch)

    def _gather(self, member: Member, more: int, seconds: float, batch: Batch) -> bool:
        """So many more; whether there was something."""
        before = batch.waiting.get(member, 0)
        waiting = member.client.gather(before + more, seconds)
        if waiting is None:
            return self._take(member, more, seconds, batch.found)
        batch.waiting[member] = waiting
        return waiting > before

    def hand_out(self, members: Sequence[Member], batch: Batch) -> None:
        """Move what waits to what is found."""
        for step in range(len(members)):
            member = members[(self._turn + step) % len(members)]
            if waiting := batch.waiting.pop(member, 0):
                self._take(member, waiting, 0, batch.found)
        batch.waiting.clear()  # of members that are gone

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
        return self._admitted(members[(self._turn - 1) % len(members)], message)

    def _take_one(self, member: Member) -> Message | None:
        # Not ahead: what is fetched may have to be put back.
        return member.client.poll(0)

    def wait(self, members: Sequence[Member], seconds: float) -> Message | None:
        message = super().wait(members, seconds)
        return None if message is None else self._admitted(members[self._turn], message)

    def _admitted(self, member: Member, message: Message) -> Message | None:
        try:
            return self._admit(member, message)
        except BaseException:
            _give_back(member.client, [message])
            raise

    def _gather(self, member: Member, more: int, seconds: float, batch: Batch) -> bool:
        # At once: a move goes on by what was handed out.
        wanted = more + batch.waiting.pop(member, 0)
        return self._take(member, wanted, seconds, batch.found)

    def _take(self, member: Member, wanted: int, seconds: float, found: list[Message]) -> bool:
        messages = member.client.consume(wanted, seconds)
        for index, one in enumerate(messages):
            try:
                message = self._admit(member, one)
            except BaseException:
                found += messages[index:]  # they are given back with the others
                raise
            if message is not None:
                found.append(message)
        return bool(messages)
