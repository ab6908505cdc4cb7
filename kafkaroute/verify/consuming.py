"""What a consumer process does: read, and log what it read before it is committed."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from ..consumer.consumer import Consumer
from ..errors import ClosedError, KafkarouteError
from ..events import Phase
from ..messages import KafkaError, Message, TopicPartition
from .payload import Payload
from .readings import LATE, Batch, ReadingsFile, identity, position
from .talk import Talk

if TYPE_CHECKING:
    from ..events import RouteChange

__all__ = ["ConsumerWork"]

_BATCH = 500
_WAIT = 0.05  # s


class ConsumerWork:
    """Reads until told to stop; even-numbered members by consume(), odd ones by poll()."""

    def __init__(self, talk: Talk) -> None:
        spec = talk.spec
        self._talk = talk
        self._channels: list[str] = spec["channels"]
        self._commit: str = spec["commit"]
        self._payload = Payload(spec["run"], spec["size"])
        self._readings = ReadingsFile(spec["out"])
        config = dict(spec["settings"])
        config["client_config"] = {
            "auto.offset.reset": "earliest",
            **config.get("client_config", {}),
            **self._commit_settings(),
            "group.id": spec["group"],
        }
        self._consumer = Consumer({**config, "on_route_change": self._on_change})
        self._read = self._by_consume if spec["number"] % 2 == 0 else self._by_poll
        #: What poll() gave, not logged yet.
        self._polled: list[Message] = []
        self._count = 0
        self._uncommitted = 0
        self._late = 0
        self._foreign = 0
        self._slowest = 0.0
        self._errors: Counter[str] = Counter()
        self._places: dict[object, tuple[int, str]] = {}
        #: (channel, place's name): what was left, so that what comes from there is late.
        self._left: set[tuple[str, str]] = set()

    def _commit_settings(self) -> dict[str, Any]:
        if self._commit == "auto":
            return {"enable.auto.commit": True}
        if self._commit == "store":
            return {"enable.auto.commit": True, "enable.auto.offset.store": False}
        return {"enable.auto.commit": False}

    def run(self) -> None:
        talk = self._talk
        if talk.spec["skip_history"]:
            self._skip_history()
        tell = self._tell_rebalance
        self._consumer.subscribe(
            self._channels,
            on_assign=partial(tell, "assigned"),
            on_revoke=partial(tell, "revoked"),
            on_lost=partial(tell, "lost"),
        )
        talk.say("ready")
        while not talk.stopping:
            try:
                messages = self._read()
            except ClosedError:
                raise
            except KafkarouteError as error:
                self._errors[repr(error)[:200]] += 1
                continue
            if messages:
                self._log(messages)
            if talk.due(time.monotonic()):
                self._tell_progress()
        self._tell_progress()
        began = time.monotonic()
        self._consumer.close()
        self._readings.close()
        talk.say(
            "done",
            count=self._count,
            late=self._late,
            foreign=self._foreign,
            slowest=self._slowest,
            errors=self._errors,
            closing=time.monotonic() - began,
        )

    def _by_consume(self) -> list[Message]:
        return self._consumer.consume(_BATCH, _WAIT)

    def _by_poll(self) -> list[Message]:
        poll, polled = self._consumer.poll, self._polled
        message = poll(_WAIT)
        while message is not None:
            polled.append(message)
            if len(polled) >= _BATCH:
                break
            message = poll(0)
        self._polled = []
        return polled

    def _log(self, messages: list[Message]) -> None:
        now, wall = time.monotonic(), time.time()
        payload, prefix = self._payload, self._payload.prefix
        who, where = array("Q"), array("Q")
        newest: dict[tuple[object, str | None, int | None], Message] = {}
        for message in messages:
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    self._errors[error.name()] += 1
                continue
            value = message.value()
            origin, partition = message.origin(), message.partition()
            place = None if origin is None else origin.place
            newest[place, message.topic(), partition] = message
            if value is None or not value.startswith(prefix):
                self._foreign += 1
                continue
            producer, _, number, at = payload.unpack(value)
            self._slowest = max(self._slowest, wall - at)
            code, name = self._place(place, message)
            mark = position(code, partition or 0, message.offset() or 0)
            if self._left and (message.channel() or "", name) in self._left:
                mark |= LATE
                self._late += 1
            who.append(identity(producer, number))
            where.append(mark)
        self._readings.write(Batch(now, who, where))
        self._count += len(who)
        self._settle_offsets(newest, len(messages))

    def _place(self, place: object, message: Message) -> tuple[int, str]:
        topic = message.topic() or ""
        known = self._places.get((place, topic))
        if known is None:
            config = getattr(place, "config", {})
            name = f"{topic} at {config.get('bootstrap.servers')}"
            codes = {name: code for code, name in self._places.values()}
            known = (codes.get(name, len(codes)), name)
            self._places[place, topic] = known
            self._talk.say("place", code=known[0], name=name)
        return known

    def _settle_offsets(
        self, newest: dict[tuple[object, str | None, int | None], Message], count: int
    ) -> None:
        """What the application owes for messages that are logged now."""
        try:
            if self._commit == "store":
                for message in newest.values():
                    self._consumer.store_offsets(message)
            elif self._commit.isdigit():
                self._uncommitted += count
                if self._uncommitted >= int(self._commit):
                    self._uncommitted = 0
                    self._consumer.commit(asynchronous=False)
        except KafkarouteError as error:
            self._errors[f"while committing: {error!r}"[:200]] += 1

    def _skip_history(self) -> None:
        """Commit the ends of all partitions as this group's, before anybody reads."""
        consumer = self._consumer
        for channel in self._channels:
            topics = consumer.list_topics(channel, 30).topics
            numbers = sorted({number for topic in topics.values() for number in topic.partitions})
            partitions = [TopicPartition(channel, number) for number in numbers]
            consumer.assign(partitions)
            for partition in partitions:
                partition.offset = consumer.get_watermark_offsets(partition, 30)[1]
            consumer.commit(offsets=partitions, asynchronous=False)
            consumer.unassign()

    # News.

    def _on_change(self, change: RouteChange) -> None:
        if change.phase is Phase.LEFT and change.old is not None:
            self._left.add((change.channel, str(change.old)))
        if change.new is not None:
            # Moved back there: what comes from it is no longer late.
            self._left.discard((change.channel, str(change.new)))
        self._talk.change(change)

    def _tell_rebalance(
        self, kind: str, _consumer: Consumer, partitions: list[TopicPartition]
    ) -> None:
        if kind == "revoked" and self._polled:
            # Whoever gets the partitions goes on behind what is stored.
            self._log(self._polled)
            self._polled.clear()
        named = [[p.channel or "", p.topic, p.partition] for p in partitions]
        self._talk.say("rebalance", at=time.monotonic(), kind=kind, partitions=named)

    def _tell_progress(self) -> None:
        assigned = None
        if not self._talk.gone:
            assigned = len(self._consumer.assignment())
        self._talk.say("progress", count=self._count, late=self._late, assigned=assigned)
