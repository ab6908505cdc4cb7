"""The worker's side of its conversation with the run: JSON lines, orders in, news out."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..events import RouteChange

__all__ = ["Talk"]

#: A worker whose run is gone ends by itself after so many seconds, whatever it waits for.
_ORPHAN = 20.0
_PROGRESS = 0.2


class Talk:
    """Reads orders on a thread; what they say stands in the attributes.

    Attributes:
        spec: the first line: who this worker is.
        stopping: stop producing, or consuming.
        rate: messages a second for this worker; None until told: then `allowed` counts.
        allowed: how many messages may be produced in all.
        started: time.monotonic() at which the load began (one clock for all processes).
    """

    def __init__(self) -> None:
        self.spec: dict[str, Any] = json.loads(sys.stdin.readline())
        self.stopping = False
        self.rate: float | None = None
        self.allowed = 0
        self.started = 0.0
        self._go = threading.Event()
        self._lock = threading.Lock()
        self._next = 0.0
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, what: str, **facts: Any) -> None:
        line = json.dumps({"is": what, **facts})
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def change(self, change: RouteChange) -> None:
        """Tell of a phase (this is what on_route_change calls)."""
        self.say(
            "change",
            at=time.monotonic(),
            intent=change.intent,
            channel=change.channel,
            phase=str(change.phase),
            count=change.count,
            partitions=[[p.topic, p.partition, p.offset] for p in change.partitions],
            text=str(change),
        )

    def due(self, now: float) -> bool:
        """Whether progress is to be told again."""
        if now < self._next:
            return False
        self._next = now + _PROGRESS
        return True

    def wait_for_go(self) -> None:
        self._go.wait()

    @property
    def gone(self) -> bool:
        return self._go.is_set()

    def _listen(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if "go" in order:
                self.started = order["go"]
                self._go.set()
            if "rate" in order:
                self.rate = order["rate"]
            if "allowed" in order:
                self.allowed = order["allowed"]
            if "stop" in order:
                self.stopping = True
        self.stopping = True
        self._go.set()
        time.sleep(_ORPHAN)
        os._exit(3)
