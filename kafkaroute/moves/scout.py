"""Whether a group has read the topics of an old place to their ends, seen from outside the group."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..backend.contract import Backend
from ..backend.settings_keys import ConfigValue
from .drainage import Look

__all__ = ["Scout"]


class Scout:
    """Looks at topics of one old place again and again, on a thread of its own.

    It has native consumers of its own, which never join the group and never commit; nothing of
    the application's consumers is touched. What it found last is there without waiting. The
    thread begins with the first :meth:`watch` and ends with :meth:`close`.

    Args:
        backend: the old place's.
        config: the old place's merged configuration, with its ``group.id``. Callbacks other than
            ``oauth_cb`` are left out: the application must not hear of this client.
        interval: seconds from the end of one round of looks to the next. After a round that took
            long it is longer, so that looking takes no more than a fifth of the time.
        patience: seconds that one look may take, with a cluster that does not answer, too.
    """

    def __init__(
        self,
        backend: Backend,
        config: Mapping[str, ConfigValue],
        *,
        interval: float = 0.25,
        patience: float = 3.0,
    ) -> None: ...

    def watch(self, topic: str) -> None:
        """Look at `topic` from now on; at once for the first time. Safe to call twice."""

    def unwatch(self, topic: str) -> None:
        """Look at `topic` no more, and forget what was found."""

    def report(self, topic: str, positions: Mapping[int, int]) -> None:
        """Say where the application itself stands: partition → offset after the last message it
        was given (all of it that counts; replaces what was reported before). For a group that does
        not commit. Never waits."""

    def latest(self, topic: str) -> Look | None:
        """What the last look at `topic` found; None before the first. Never waits, never raises."""
        return None

    def ask(self) -> None:
        """Look at once instead of after the interval. Never waits."""

    def look(self, topic: str, seconds: float) -> Look:
        """Look on this thread, for up to about `seconds` (and what is left of a look under way);
        for tests and for people. Never raises for what a broker says or does not say: the answer
        tells.

        Raises:
            ClosedError: after close().
        """
        return Look(topic, time.monotonic(), 0.0, error="the scout has not set out yet")

    def close(self) -> None:
        """Stop looking and free the native consumers; returns at once, the thread frees them as
        soon as its look is over. Safe to call twice."""
