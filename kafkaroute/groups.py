"""What a Producer's transaction needs of the group whose messages it works on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .messages import TopicPartition, bare

__all__ = ["GroupMetadata"]


class GroupMetadata:
    """What Consumer.consumer_group_metadata() returns: a group on one cluster.

    Attributes:
        channel: one that the group reads there.
        native: the backend's own object.
        is_moving: whether the consumer has yet to leave an old place: what is produced from its
            messages moves after it.
    """

    __slots__ = ("_topic_of", "channel", "cluster_id", "is_moving", "native")

    def __init__(
        self,
        native: object,
        cluster_id: Callable[[], str | None],
        topic_of: Callable[[TopicPartition], str],
        is_moving: Callable[[], bool] = lambda: False,
        *,
        channel: str,
    ) -> None:
        self.channel = channel
        self.native = native
        self.is_moving = is_moving
        self.cluster_id = cluster_id
        self._topic_of = topic_of

    def bare(self, positions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """`positions` with topics for channels."""
        return [bare(position, self._topic_of(position)) for position in positions]
