"""Joins of a group that a consumer begins in one short poll and finishes in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["UnseenJoin", "is_join", "resume_join"]


class UnseenJoin:
    """A join of the group, for a coordinator that throws away what is done before it looked.

    kafka-python keeps a join only while it is under way; one that finishes between two polls would
    be dropped and begun anew, so that a consumer that is polled in turn with others (short polls,
    long pauses) would never become a member. This one is done once its result was handed over,
    and not when it merely came in: that may be in the very moment in which a short poll gives up.
    """

    def __init__(self, join: Any) -> None:
        self._join = join
        self.is_done = False

    def add_callback(self, callback: Callable[..., Any]) -> None:
        # The waiter asks anew at every poll; only one who asks when the result is there gets it.
        self.is_done = self._join.is_done
        self._join.add_callback(callback)

    def add_errback(self, callback: Callable[..., Any]) -> None:
        self.is_done = self._join.is_done
        self._join.add_errback(callback)

    def __await__(self) -> Any:
        self.is_done = self._join.is_done
        return self._join.__await__()


def is_join(coroutine: Any) -> bool:
    """Whether the coordinator is about to join its group with this."""
    return getattr(coroutine, "__name__", "") == "_do_join_and_sync_async"


def resume_join(coordinator: Any) -> bool:
    """Before a poll: let it finish the join that an earlier, shorter poll began.

    kafka-python looks at it only while the consumer is due to join.

    Returns:
        Whether the consumer is still to become a member.
    """
    if getattr(coordinator, "_join_task", None) is not None:
        coordinator.request_rejoin()
    return bool(getattr(coordinator, "rejoin_needed", False))
