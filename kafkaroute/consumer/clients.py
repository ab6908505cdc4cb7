"""The native consumers of one Consumer: which channels each serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from ..backend.contract import BackendConsumer
from ..messages import KafkaError, Origin, TopicPartition, bare, kafka_exception
from ..places import Place
from ..route import Route
from .pauses import KeptBack

__all__ = ["Member", "Members"]

_log = logging.getLogger("kafkaroute.consumer")


class Member:
    """One native consumer. `origins` is shared with it and tells each topic's channel.

    Attributes:
        topics: channel → topic, of the channels that are read here.
        held: topics of channels on their way here: subscribed to, but not read yet.
        left: topics of channels that went away from here: watched for late messages.
        beside: those of `left` that are read like others until they are done with.
        hidden: held and left, not beside; the application sees none of their partitions.
        paused: what the application paused, as (topic, partition).
        kept: what kafkaroute does not let be read for now.
        cluster_id: the Kafka cluster's id, where somebody has asked.
        settled: the group has said what this member's share is (perhaps nothing), and no rebalance
            has taken it back since.
        subscribed: what the native consumer was told last.
        joined: topics whose notes of other members were read.
    """

    __slots__ = (
        "_gone",
        "beside",
        "client",
        "cluster_id",
        "held",
        "hidden",
        "idle_until",
        "joined",
        "kept",
        "left",
        "origins",
        "paused",
        "place",
        "settled",
        "subscribed",
        "topics",
    )

    def __init__(self, place: Place, client: BackendConsumer, origins: dict[str, Origin]) -> None:
        self.place = place
        self.client = client
        self.origins = origins
        self.topics: dict[str, str] = {}
        self.held: frozenset[str] = frozenset()
        self.left: frozenset[str] = frozenset()
        self.beside: frozenset[str] = frozenset()
        #: Neither held nor watched any more; the group may not know yet.
        self._gone: frozenset[str] = frozenset()
        self.hidden: frozenset[str] = frozenset()
        self.paused: set[tuple[str, int]] = set()
        self.kept = KeptBack(client, self.paused)
        self.cluster_id: str | None = None
        self.settled = False
        self.subscribed: list[str] = []
        self.joined: set[str] = set()
        self.idle_until = 0.0

    def settle(self, *, settled: bool) -> None:
        """Whether the group has said what this member's share is."""
        self.settled = settled

    def subscribes_to(self, topics: Sequence[str]) -> None:
        """What the native consumer is subscribed to from now on."""
        self.subscribed = list(topics)

    def serve(self, routes: Iterable[Route]) -> None:
        """Read exactly these routes from now on, beside what is held and watched."""
        self.read({route.channel: route.topic for route in routes})

    def adopt(self, route: Route) -> None:
        """Read one more route."""
        self.topics[route.channel] = route.topic
        self.origins.setdefault(route.topic, Origin(route.channel, self.place))
        self._hide()

    def hold(self, channel: str, topic: str) -> None:
        """A channel is on its way to `topic` here."""
        self.held |= {topic}
        self.left -= {topic}
        if topic not in self.topics.values():
            self.origins[topic] = Origin(channel, self.place)
        self._hide()

    def watch(self, channel: str, topic: str) -> None:
        """Watch `topic` for late messages of a channel that has left it."""
        self.left |= {topic}
        self.origins[topic] = Origin(channel, self.place)
        self._hide()

    def release(self, channel: str, topic: str) -> None:
        """The channel is read from `topic` here from now on."""
        self.held -= {topic}
        self.left -= {topic}
        self.read({**self.topics, channel: topic})

    def leave(self, channel: str, *, beside: bool = False) -> None:
        """The channel is read elsewhere; its topic here is watched for late messages, or read
        beside the other one."""
        topic = self.topics[channel]
        self.read({c: t for c, t in self.topics.items() if c != channel})
        if topic not in self.topics.values():
            self.left |= {topic}
            self.beside |= {topic} if beside else frozenset()
            self._hide()

    def forget(self, topic: str) -> None:
        """Neither hold nor watch `topic` any more."""
        self.held -= {topic}
        self.left -= {topic}
        self.beside -= {topic}
        self._gone |= {topic}
        self._hide()

    def move_to(self, place: Place) -> None:
        """The same native consumer goes by other settings now."""
        self.place = place
        for topic, origin in list(self.origins.items()):
            self.origins[topic] = Origin(origin.channel, place)

    def wanted(self) -> list[str]:
        """The topics to subscribe to."""
        return sorted({*self.topics.values(), *self.held, *self.left})

    def read(self, topics: dict[str, str]) -> None:
        """Read exactly these (channel → topic) from now on, beside what is held and watched."""
        self.topics = topics
        fresh: dict[str, Origin] = {}
        for channel, topic in topics.items():
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
        self._hide()

    def _hide(self) -> None:
        self._gone -= {*self.held, *self.left, *self.topics.values()}
        self.hidden = (self.held | self.left | self._gone) - self.beside - set(self.topics.values())

    def named(self, partition: TopicPartition) -> TopicPartition:
        """`partition`, as the native consumer gave it, with its channel and place."""
        origin = self.origins.get(partition.topic)
        if origin is not None:
            partition.channel = origin.channel
            partition.place = self.place
        return partition

    def all_named(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [self.named(partition) for partition in partitions]

    def shown(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """What the application may see of `partitions`, named."""
        return [self.named(one) for one in partitions if one.topic not in self.hidden]


class Members:
    """All members of one Consumer, and which of them a partition belongs to."""

    def __init__(self) -> None:
        self.all: tuple[Member, ...] = ()
        #: A place whose settings were replaced → the place that reads the same cluster now.
        self.successors: dict[object, object] = {}
        #: While something moves: (channel, partition) → the place and topic that delivered last.
        self.delivered: dict[tuple[str, int], tuple[object, str]] = {}

    def keep(self, members: Iterable[Member]) -> None:
        """These are all, from now on. The tuple is replaced, not changed: poll() compares it."""
        self.all = tuple(members)

    def add(self, member: Member) -> None:
        """`member` is one of them, if it is not yet."""
        if member not in self.all:
            self.all = (*self.all, member)

    def replaced(self, old: object, new: object) -> None:
        """What was read at `old` is read at `new` from now on, by other settings."""
        self.successors.pop(new, None)  # it may be the one before `old`: no circles
        self.successors[old] = new

    def current(self, place: object) -> object:
        """`place`, or what reads the same cluster with newer settings."""
        while place in self.successors and not any(one.place == place for one in self.all):
            place = self.successors[place]
        return place

    def by_place(self, place: object) -> Member | None:
        place = self.current(place)
        return next((member for member in self.all if member.place == place), None)

    def of_channel(self, channel: str) -> Member | None:
        """The member that reads the channel."""
        return next((member for member in self.all if channel in member.topics), None)

    def locate(self, partition: TopicPartition, *, commits: bool = False) -> tuple[Member, str]:
        """The member and topic that `partition` means; `commits`: in an offset to be committed.

        While a channel moves, one without a place means the place that is read; in a commit, the
        place that delivered the partition's last message.

        Raises KafkaException ``_INVALID_ARG``: it names no channel in use, or could mean two
        clusters; ``_STATE``: it is of a place that is no longer read.
        """
        channel, topic = getattr(partition, "channel", None), partition.topic
        if (place := getattr(partition, "place", None)) is not None:
            member = self.by_place(place)
            if member is not None and (topic or channel in member.topics):
                return member, topic or member.topics[channel or ""]
            raise kafka_exception(
                KafkaError._STATE, f"{channel or topic} is no longer read where it was"
            )
        owners = [member for member in self.all if topic in member.origins]
        if channel is None:
            named = {member.origins[topic].channel for member in owners}
            if len(named) > 1:
                raise kafka_exception(
                    KafkaError._INVALID_ARG,
                    f"topic {topic!r} alone could mean {', '.join(sorted(named))}: "
                    "give TopicPartition a channel",
                )
            if not named and len(self.all) == 1:
                return self.all[0], topic
            if not named:
                raise kafka_exception(
                    KafkaError._INVALID_ARG,
                    f"topic {topic!r} belongs to no channel of this Consumer: "
                    "give TopicPartition a channel",
                )
            if len(owners) == 1:
                return owners[0], topic
            channel = named.pop()
        reader = self.of_channel(channel)
        if reader is None:
            raise kafka_exception(
                KafkaError._INVALID_ARG, f"this Consumer does not read channel {channel}"
            )
        return self._of_several(channel, partition, reader, commits=commits)

    def _of_several(
        self, channel: str, partition: TopicPartition, reader: Member, *, commits: bool
    ) -> tuple[Member, str]:
        """Which of its places, if the channel has several."""
        topic = partition.topic or reader.topics[channel]
        left = [
            (member, name)
            for member in self.all
            for name in member.left
            if member.origins[name].channel == channel and partition.topic in {"", name}
        ]
        if not left or (partition.topic and partition.topic != reader.topics[channel]):
            return left[0] if left else (reader, topic)
        if not commits:
            return reader, topic
        last = self.delivered.get((channel, partition.partition))
        for member, name in [(reader, topic), *left]:
            if (member.place, name) == last:
                return member, name
        raise kafka_exception(
            KafkaError._INVALID_ARG,
            f"an offset of {channel} [{partition.partition}] could be of the old or of the new "
            "place: commit a message, or a TopicPartition that this Consumer gave out",
        )

    def split(
        self, partitions: Iterable[TopicPartition], *, commits: bool = False
    ) -> list[tuple[Member, list[TopicPartition]]]:
        """`partitions` by member, bare."""
        found: dict[int, tuple[Member, list[TopicPartition]]] = {}
        for partition in partitions:
            member, topic = self.locate(partition, commits=commits)
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
