"""A kafka-python event loop whose waiting callers serve rebalance callbacks.

kafka-python runs rebalance listeners on its I/O thread, where a blocking call (commit, committed)
is refused. Here an asynchronous listener posts the application's callback to the thread that
waits for the loop, in poll(), unsubscribe() or close(), and awaits its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, current_thread
from typing import Any

from ..library import Future, kp
from .sockets import TidyLoop

__all__ = ["Pump"]

#: Seconds between two looks at whether the loop is still alive.
_PULSE = 1.0


class Pump(TidyLoop):
    """Injected with the public ``kafka_client=`` option."""

    def __init__(self, **configs: Any) -> None:
        super().__init__(**configs)
        self._changed = Condition()
        self._calls: deque[tuple[Callable[[], None], Future]] = deque()

    def run(self, coro: Any, *args: Any) -> Any:
        """Run `coro` on the loop and wait for it, serving posted callbacks meanwhile."""
        if self._io_thread is None or current_thread() is self._io_thread:
            return super().run(coro, *args)
        future = self.call_soon_with_future(coro, *args)
        future.add_both(self._notify)
        while True:
            with self._changed:
                while not future.is_done and not self._calls:
                    if self._io_thread is None or not self._io_thread.is_alive():
                        raise kp.KafkaConnectionError("the client's I/O thread has ended")
                    self._changed.wait(_PULSE)
                call = self._calls.popleft() if self._calls else None
            if call is None:
                break
            self._serve(*call)
        if future.exception is not None:
            raise future.exception
        return future.value

    def post(self, callback: Callable[[], None]) -> Future:
        """From the loop: let a waiting caller run `callback`; await the result."""
        served = Future()
        with self._changed:
            self._calls.append((callback, served))
            self._changed.notify_all()
        return served

    def _serve(self, callback: Callable[[], None], served: Future) -> None:
        error: BaseException | None = None
        try:
            callback()
        except BaseException as exc:
            error = exc

        def done() -> None:
            if error is None:
                served.success(None)
            else:
                served.failure(error)

        # On the loop's own thread: nothing but the loop may wake its tasks.
        self.call_soon_threadsafe(done)

    def _notify(self, _: Any) -> None:
        with self._changed:
            self._changed.notify_all()
