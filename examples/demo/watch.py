"""Watches the demo's apps: paces the producer, moves the channel, passes on what the apps say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .apps import App, DemoFailed

#: Seconds over which the third of the flights is spread that is under way while a channel moves.
MOVE_SECONDS = 6.0
#: Seconds after which the move is no longer waited for.
MOVE_TIMEOUT = 30.0

Progress = Callable[[int, int], None]
Tell = Callable[[str], None]


class Watch:
    """Lets a third of the flights go, then moves the channel while the second third goes slowly,
    then lets all go.

    Args:
        lead: how far the producer may be ahead of the consumer; None for as far as it likes.
        move: moves the channel.

    Attributes:
        moved_away: both apps are done with the move.
    """

    def __init__(
        self,
        producer: App,
        consumer: App,
        service: App,
        flights: int,
        lead: int | None,
        move: Callable[[], None],
        progress: Progress,
        tell: Tell,
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._service = service
        self._third = flights // 3
        self._lead = float("inf") if lead is None else lead
        self._move = move
        self._progress = progress
        self._tell = tell
        self._counts = {producer.name: 0, consumer.name: 0}
        self._done: dict[str, dict[str, Any]] = {}
        self._phases: set[tuple[str, str]] = set()
        self._moved_at = 0.0
        self._allowed = 0.0

    @property
    def moved_away(self) -> bool:
        return {("produce", "released"), ("consume", "left")} <= self._phases

    def until_done(self, deadline: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Watch until both are done; what each says of its channels at its end.

        Raises:
            DemoFailed: a process failed, or `deadline` (time.monotonic()) is over.
        """
        producer, consumer = self._producer, self._consumer
        while len(self._done) < 2:
            self._pace()
            for app in (producer, consumer):
                self._listen(app)
            self._progress(self._counts[producer.name], self._counts[consumer.name])
            for app in (producer, consumer, self._service):
                app.check()
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"time is up: {self._counts[producer.name]} delivered, "
                    f"{self._counts[consumer.name]} read\n"
                    f"produce app: {producer.tail()}\nconsume app: {consumer.tail()}"
                )
            time.sleep(0.05)
        return self._done[producer.name], self._done[consumer.name]

    def _pace(self) -> None:
        limit = self._counts[self._consumer.name] + self._lead
        if not self._moved_at:
            limit = min(limit, self._third)
            # Read, too: then the consumer is there when the channel moves.
            if self._counts[self._consumer.name] >= self._third:
                self._moved_at = time.monotonic()
                self._move()
        elif not self.moved_away and time.monotonic() < self._moved_at + MOVE_TIMEOUT:
            share = (time.monotonic() - self._moved_at) / MOVE_SECONDS
            limit = min(limit, self._third + int(self._third * min(1.0, share)))
        if limit > self._allowed:
            self._allowed = limit
            self._producer.tell(str(limit))

    def _listen(self, app: App) -> None:
        while not app.said.empty():
            said = app.said.get()
            if not isinstance(said, dict):
                continue
            if said["event"] == "done":
                self._done[app.name] = said["channels"]
                counts = said["channels"].values()
                self._counts[app.name] = sum(found["count"] for found in counts)
            elif said["event"] == "change":
                self._phases.add((said["intent"], said["phase"]))
                text = said["text"].removeprefix(f"channel {said['channel']}: ")
                self._tell(f"{app.name}: {text}")
            else:
                self._counts[app.name] = said["count"]
