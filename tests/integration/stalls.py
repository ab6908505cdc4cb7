"""How long the machine let this process wait: what bounds on time may be exceeded by."""

import threading
import time

_STEP = 0.01


class Stalls:
    """``with Stalls() as stalls:`` — afterwards `stalls.seconds` is by how much a thread that only
    sleeps woke up late, in all. On a machine with nothing else to do it is next to nothing, so
    that a bound stays sharp; one that is busy for two seconds does not break it."""

    def __init__(self):
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *reason):
        self._over.set()
        self._thread.join()

    def _watch(self):
        before = time.monotonic()
        while not self._over.is_set():
            time.sleep(_STEP)
            now = time.monotonic()
            self.seconds += max(0.0, now - before - 2 * _STEP)
            before = now
