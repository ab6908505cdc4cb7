"""The Consumer's calls about partitions and clusters."""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import seconds
from ..groups import GroupMetadata
from ..messages import ClusterMetadata, KafkaError, TopicPartition, kafka_exception
from ..route import Route
from .clients import Member
from .pauses import MOVING
from .state import ConsumerState

__all__ = ["PartitionCalls"]

_METADATA_TIMEOUT = 5.0


class PartitionCalls(ConsumerState):
    """assign, pause and their kin, and questions to a cluster."""

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read exactly these partitions, without a group's rebalancing.

        Inside a rebalance callback it concerns the callback's cluster alone. Outside, channels do
        not move by themselves any more: assign again when ``on_route_change`` says so.
        """
        with self._turn():
            if self._rebalancing is not None:
                self._rebalancing.assign(partitions, incremental=False)
                return
            self._settle_down()
            self._adopt(partitions)
            shares = {id(m): share for m, share in self._members.split(partitions)}
            for member in self._members.all:
                member.client.assign(shares.get(id(member), []))
            self._manual = True

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Add partitions to the assignment."""
        with self._turn():
            if self._rebalancing is not None:
                self._rebalancing.assign(partitions, incremental=True)
                return
            self._adopt(partitions)
            for member, share in self._members.split(partitions):
                member.client.incremental_assign(share)
            self._manual = True

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Take partitions out of the assignment."""
        with self._turn():
            if self._rebalancing is not None:
                self._rebalancing.unassign(partitions)
                return
            for member, share in self._members.split(partitions):
                member.client.incremental_unassign(share)

    def unassign(self) -> None:
        """Drop the assignment (inside a rebalance callback: on its cluster)."""
        with self._turn():
            if self._rebalancing is not None:
                self._rebalancing.unassign(None)
                return
            for member in self._members.all:
                member.client.unassign()

    def _settle_down(self) -> None:
        """Channels that moved are at their new places from now on: what is assigned by hand does
        not move by itself."""
        self.stop_moving()
        for member in self._members.all:
            for channel, topic in list(member.topics.items()):
                member.kept.let_go_all(topic, *MOVING)
                route = self._router.route(channel)
                if self._router.place(route) != member.place:
                    member.read({c: t for c, t in member.topics.items() if c != channel})
                    self._adopt_route(route)
                elif route.topic != member.topics[channel]:
                    member.adopt(route)

    def _adopt(self, partitions: Sequence[TopicPartition]) -> None:
        """Open what a manual assignment needs beyond the members there are."""
        channels = {getattr(partition, "channel", None) for partition in partitions}
        unknown = sorted(c for c in channels if c and self._members.of_channel(c) is None)
        for route in self._router.routes(unknown):
            self._adopt_route(route)

    def _adopt_route(self, route: Route) -> Member:
        member = self._router.client(self._router.place(route))
        member.adopt(route)
        self._members.add(member)
        return member

    def assignment(self) -> list[TopicPartition]:
        """The partitions read now, on all clusters."""
        with self._turn():
            return [
                partition
                for member in self._members.all
                for partition in member.shown(member.client.assignment())
            ]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver nothing of these partitions until resume()."""
        with self._turn():
            for member, share in self._members.split(partitions):
                member.client.pause(share)
                member.paused.update((one.topic, one.partition) for one in share)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver from these partitions again."""
        with self._turn():
            for member, share in self._members.split(partitions):
                member.paused.difference_update((one.topic, one.partition) for one in share)
                if ready := [one for one in share if not member.kept.holds(one)]:
                    member.client.resume(ready)

    def _member(self, channel: str | None, call: str) -> Member:
        if channel is not None:
            known = self._members.of_channel(channel)
            return known or self._adopt_route(self._router.route(channel))
        # While something moves, there are others that are not read yet, or not any more.
        readers = [member for member in self._members.all if member.topics]
        if len(readers) == 1:
            return readers[0]
        raise kafka_exception(
            KafkaError._INVALID_ARG,
            f"{call} needs a channel: this Consumer reads {len(readers)} clusters",
        )

    def list_topics(self, channel: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Ask a cluster about itself; `channel` may be left out while only one is read."""
        timeout = seconds(timeout)
        with self._turn():
            member = self._member(channel, "list_topics()")
            topic = member.topics[channel] if channel is not None else None
            return member.client.list_topics(topic, timeout)

    def consumer_group_metadata(self, channel: str | None = None) -> GroupMetadata:
        """What Producer.send_offsets_to_transaction() needs; `channel` as for list_topics()."""
        with self._turn():
            member = self._member(channel, "consumer_group_metadata()")
            client = member.client
            return GroupMetadata(
                client.consumer_group_metadata(),
                lambda: client.list_topics(None, _METADATA_TIMEOUT).cluster_id,
                lambda partition: self._members.locate(partition, commits=True)[1],
                self.is_moving,
                channel=channel or next(iter(member.topics), ""),
            )

    def memberid(self, channel: str | None = None) -> str | None:
        """This member's id in its group; `channel` as for list_topics()."""
        with self._turn():
            return self._member(channel, "memberid()").client.memberid()
