"""The events of a Consumer's moves, kept until they can be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ...messages import TopicPartition
from ..events import Phase, RouteChange
from .stages import Stage, Way

__all__ = ["Telling"]


class Telling:
    """Moves happen in the Consumer's turn; the application is told outside it."""

    def __init__(self) -> None:
        self.events: deque[RouteChange] = deque()

    def tell(
        self,
        way: Way,
        phase: Phase,
        old: Stage | None,
        new: Stage | None,
        *,
        count: int | None = None,
        partitions: Sequence[TopicPartition] = (),
        detail: str = "",
    ) -> None:
        """Note that `way` has reached `phase`; `partitions` are the old place's."""
        way.phase = phase
        for one in partitions:
            one.channel = way.channel
            one.place = None if old is None else old.place
        self.events.append(
            RouteChange(
                way.channel,
                "consume",
                phase,
                None if old is None else old.spot(),
                None if new is None else new.spot(),
                count,
                tuple(partitions),
                detail,
            )
        )
