"""Calls that serve a Producer's callbacks, which none of these may begin again on the same thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident

from ..messages import KafkaError, kafka_exception

__all__ = ["Serving"]


class Serving:
    """Which threads serve callbacks of one Producer.

    A callback, or a signal handler, runs inside of the call that it interrupts. confluent-kafka (2.16)
    aborts the process where it calls poll() or flush() there, and hangs in close().
    """

    __slots__ = ("_afterwards", "_threads")

    def __init__(self) -> None:
        self._threads: list[int] = []
        self._afterwards: dict[int, Callable[[], object]] = {}

    def begin(self, call: str) -> None:
        """`call` begins on this thread.

        Raises:
            KafkaException: ``_STATE`` inside another one.
        """
        thread = get_ident()
        if thread in self._threads:
            raise kafka_exception(
                KafkaError._STATE,
                f"{call}() inside a call that serves callbacks: in a delivery callback, or in a "
                "signal handler that interrupted poll() or flush()",
            )
        self._threads.append(thread)

    def end(self) -> None:
        """The call is over; do what was left for this moment."""
        thread = get_ident()
        self._threads.remove(thread)
        if self._afterwards and (action := self._afterwards.pop(thread, None)) is not None:
            action()

    @contextmanager
    def call(self, call: str) -> Iterator[None]:
        """Around `call`; see :meth:`begin`."""
        self.begin(call)
        try:
            yield
        finally:
            self.end()

    def leave(self, action: Callable[[], object]) -> bool:
        """Leave `action` for the end of the call that this thread is inside; False where it is in
        none."""
        thread = get_ident()
        if thread not in self._threads:
            return False
        self._afterwards[thread] = action
        return True
