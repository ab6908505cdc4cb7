"""The native consumers of one Consumer: which channels each serves, and taking turns at them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from .backend.contract import BackendConsumer
from .messages import KafkaError, Message, Origin, TopicPartition, bare, kafka_exception
from .route import Route
from .router import Place

__all__ = ["FairPoll", "Member", "Members"]

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


class Member:
    """One native consumer. `origins` is shared with it and tells each topic's channel."""

    __slots__ = ("client", "idle_until", "origins", "place", "topics")

    def __init__(self, place: Place, client: BackendConsumer, origins: dict[str, Origin]) -> None:
        self.place = place
        self.client = client
        self.origins = origins
        self.topics: dict[str, str] = {}  # channel → topic
        self.idle_until = 0.0

    def serve(self, routes: Iterable[Route]) -> None:
        """Serve exactly these routes from now on."""
        self.topics = {route.channel: route.topic for route in routes}
        fresh: dict[str, Origin] = {}
        for channel, topic in self.topics.items():
            if topic in fresh:
                _log.warning(
                    "channels %s and %s are the same topic %s: its messages are reported under the first",
                    fresh[topic].channel,
                    channel,
                    topic,
                )
            else:
                fresh[topic] = Origin(channel, self.place)
        # Topics left behind keep their origin: messages of theirs may still be on their way.
        self.origins.update(fresh)

    def adopt(self, route: Route) -> None:
        """Serve one more route."""
        self.topics[route.channel] = route.topic
        self.origins.setdefault(route.topic, Origin(route.channel, self.place))

    def named(self, partition: TopicPartition) -> TopicPartition:
        """`partition`, as the native consumer gave it, with its channel."""
        origin = self.origins.get(partition.topic)
        if origin is not None:
            partition.channel = origin.channel
        return partition

    def all_named(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [self.named(partition) for partition in partitions]


class Members:
    """All members of one Consumer, and which of them a partition belongs to."""

    def __init__(self) -> None:
        self.all: tuple[Member, ...] = ()

    def by_place(self, place: object) -> Member | None:
        return next((member for member in self.all if member.place == place), None)

    def of_channel(self, channel: str) -> Member | None:
        return next((member for member in self.all if channel in member.topics), None)

    def locate(self, partition: TopicPartition) -> tuple[Member, str]:
        """The member and topic that `partition` means.

        Raises KafkaException ``_INVALID_ARG``: it names no channel in use, or a bare topic could
        mean two clusters.
        """
        channel = getattr(partition, "channel", None)
        if channel is not None:
            member = self.of_channel(channel)
            if member is not None:
                return member, partition.topic or member.topics[channel]
            raise kafka_exception(
                KafkaError._INVALID_ARG, f"this Consumer does not read channel {channel}"
            )
        topic = partition.topic
        owners = [member for member in self.all if topic in member.origins]
        if not owners and len(self.all) == 1:
            owners = [self.all[0]]
        if len(owners) == 1:
            return owners[0], topic
        if owners:
            channels = ", ".join(member.origins[topic].channel for member in owners)
            raise kafka_exception(
                KafkaError._INVALID_ARG,
                f"topic {topic!r} alone could mean {channels}: give TopicPartition a channel",
            )
        raise kafka_exception(
            KafkaError._INVALID_ARG,
            f"topic {topic!r} belongs to no channel of this Consumer: give TopicPartition a channel",
        )

    def split(
        self, partitions: Iterable[TopicPartition]
    ) -> list[tuple[Member, list[TopicPartition]]]:
        """`partitions` by member, bare."""
        found: dict[int, tuple[Member, list[TopicPartition]]] = {}
        for partition in partitions:
            member, topic = self.locate(partition)
            found.setdefault(id(member), (member, []))[1].append(bare(partition, topic))
        return list(found.values())

    def gather(
        self,
        partitions: Sequence[TopicPartition],
        call: Callable[[BackendConsumer, list[TopicPartition]], list[TopicPartition]],
    ) -> list[TopicPartition]:
        """`call` each member with its share; the answers in the order of `partitions`."""
        answers: dict[tuple[int, str, int], TopicPartition] = {}
        for member, share in self.split(partitions):
            for answer in call(member.client, share):
                answers[id(member), answer.topic, answer.partition] = member.named(answer)
        ordered = []
        for partition in partitions:
            member, topic = self.locate(partition)
            answer = answers[id(member), topic, partition.partition]
            channel = getattr(partition, "channel", None)
            if channel is not None and channel != answer.channel:
                # Several channels may be one topic: answer under the name that was asked for.
                error, answer = answer.error, bare(answer, topic)
                answer.channel, answer.error = channel, error
            ordered.append(answer)
        return ordered


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
