"""Waiting for the metadata of topics newly subscribed to, before the group is joined."""

from __future__ import annotations

import time

from .assignment import Assignment

__all__ = ["AwaitedTopics"]

#: Longest wait, and seconds between two looks.
_METADATA = 1.0
_METADATA_LOOK = 0.002
#: Seconds after which it is asked for once more.
_METADATA_AGAIN = 0.15


class AwaitedTopics:
    """Those of one consumer."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._awaited: set[str] = set()
        self._until = 0.0
        self._asked_at = 0.0

    def known(self, assignment: Assignment, timeout: float) -> bool:
        """Whether metadata names every topic subscribed to; waits up to `timeout`.

        A member that joins before is given nothing and has to join a second time, which costs a
        rebalance, and on librdkafka's mock cluster a whole session timeout. A topic that does not
        exist is waited for no longer than `_METADATA`.
        """
        topics = assignment.topics()
        if topics == self._known:
            return True
        now = time.monotonic()
        if topics != self._awaited:
            self._awaited, self._until = topics, now + _METADATA
            self._asked_at = now
        end = min(now + timeout, self._until)
        while not all(assignment.is_known(topic) for topic in topics):
            now = time.monotonic()
            if now >= self._until:
                break
            if now >= self._asked_at + _METADATA_AGAIN:
                # The subscription's own request is lost when an earlier answer comes just then.
                assignment.ask_metadata()
                self._asked_at = now
            if now >= end:
                return False
            time.sleep(min(_METADATA_LOOK, end - now))
        self._known = topics
        return True
