"""Whether rules are still followed: a thread that hangs or has ended looks at nothing any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Follower"]

#: Seconds without a look, after which the rules count as no longer followed.
_SILENT = 30.0
#: Seconds that stop() waits for the thread, which may hang in a read.
_STOPPING = 5.0


class Follower:
    """A thread that follows the rules, and when it last said that it does.

    Args:
        name: the thread's.
        follow: what it does until it is told to stop; calls :meth:`looked` again and again.
        clock: seconds, monotonic.
    """

    def __init__(
        self, name: str, follow: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._looked = clock()
        self._thread = threading.Thread(target=follow, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def looked(self) -> None:
        """The thread is alive, and about to look."""
        self._looked = self._clock()

    def join(self) -> None:
        """Wait for its end, but no longer than a service may take to stop."""
        self._thread.join(_STOPPING)

    def problem(self) -> str | None:
        """What ``/healthz`` says where the rules are no longer followed."""
        silent = self._clock() - self._looked
        if self._thread.is_alive() and silent < _SILENT:
            return None
        return f"the rules are no longer followed: nobody has looked at them for {silent:.0f} s"
