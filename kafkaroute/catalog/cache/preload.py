"""Look-ups for many channels at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from ...errors import CatalogUnavailable
from ...route import Route

__all__ = ["preload"]


#: Questions at once.
_WORKERS = 8


def preload(
    get: Callable[[str], Route], channels: Iterable[str], workers: int = _WORKERS
) -> dict[str, Route | Exception]:
    """``get(channel)`` for each of `channels` on up to `workers` threads; failures as values.

    Once as many questions as there are workers failed in a row because the catalog could not be
    had, the rest get that error unasked: a thousand channels must not wait for a thousand
    deadlines.
    """
    wanted = list(dict.fromkeys(channels))
    todo = deque(wanted)
    results: dict[str, Route | Exception] = {}
    lock = threading.Lock()
    failures = 0
    workers = min(workers, len(wanted))

    def toil() -> None:
        nonlocal failures
        while True:
            with lock:
                if not todo:
                    return
                channel = todo.popleft()
            try:
                result: Route | Exception = get(channel)
            except Exception as error:
                result = error.with_traceback(None)
            with lock:
                results[channel] = result
                failures = failures + 1 if isinstance(result, CatalogUnavailable) else 0
                if failures >= workers and isinstance(result, CatalogUnavailable):
                    for rest in todo:
                        results[rest] = CatalogUnavailable(*result.args)
                    todo.clear()

    threads = [
        threading.Thread(target=toil, name="kafkaroute-preload", daemon=True)
        for _ in range(workers - 1)
    ]
    for thread in threads:
        thread.start()
    toil()
    for thread in threads:
        thread.join()
    return {channel: results[channel] for channel in wanted}
