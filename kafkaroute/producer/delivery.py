"""Serving delivery reports, and counting what is not delivered yet, while channels may move."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from ..errors import ClosedError
from .client import Link
from .dispatch import Dispatch

__all__ = ["Delivery", "deadline_of"]

#: How long one client may hold up the others while all of them are waited for (seconds).
_SLICE = 0.05
#: How often is looked whether a mover has left a report.
_LOOK_AGAIN = 0.005


class Delivery:
    """poll(), flush() and the end of one Producer, on the threads that call them.

    Native clients that a mover serves are left to it; the reports that it collects are served
    here.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def poll(self, timeout: float | None) -> int:
        """Serve reports; see :meth:`kafkaroute.Producer.poll`."""
        dispatch = self._dispatch
        links: Iterable[Link]
        served = 0
        if not dispatch.busy:
            links = dispatch.router.clients()
            for link in links:
                served += _poll(link, 0)
        else:
            served = self._serve(0)
        if served or timeout == 0:
            return served
        deadline = deadline_of(timeout)
        while not dispatch.closed:
            # Slices: clients come and go, close() may be called, signals want to be handled.
            left = max(0.0, deadline - time.monotonic())
            served = self._serve(min(left, _SLICE))
            if served or left <= 0:
                break
        return served

    def _serve(self, timeout: float) -> int:
        """One round over everything, waiting up to `timeout` seconds in all."""
        dispatch = self._dispatch
        links = dispatch.links()
        # Looked at first: what comes into `later` after that is younger than what these have.
        free = [link for link in links if not link.tracker.diverted]
        served = self.serve_later()
        if served:
            timeout = 0
        for link in free:
            served += _poll(link, timeout / len(free))
        if not free and not served and timeout:
            time.sleep(min(timeout, _LOOK_AGAIN))
        if dispatch.busy:
            dispatch.rest()
        return served

    def serve_later(self) -> int:
        """Call the callbacks of reports that movers collected."""
        later = self._dispatch.later
        served = 0
        # As many as there are now: callbacks that produce must not keep this thread for ever.
        for _ in range(len(later)):
            try:
                callback, error, message = later.popleft()
            except IndexError:
                break  # another thread polls, too
            served += 1
            callback(error, message)
        return served

    def count(self) -> int:
        """Messages and events that wait for delivery or for poll()."""
        dispatch = self._dispatch
        if not dispatch.busy:
            return sum(len(link.client) for link in dispatch.router.clients())
        while True:
            mark = dispatch.activity
            links = dispatch.links()
            # In the order in which a message passes: it may be counted twice, never missed.
            count = dispatch.proving.kept()
            count += sum(link.kept() for link in links)
            count += sum(len(link.client) for link in links)
            count += len(dispatch.later)
            if dispatch.is_moving():
                return max(1, count)
            if mark == dispatch.activity:
                return count

    def flush(self, timeout: float | None) -> int:
        """Serve reports until nothing is left; see :meth:`kafkaroute.Producer.flush`."""
        dispatch = self._dispatch
        deadline = deadline_of(timeout)
        while True:
            if dispatch.busy:
                self._serve(0)
            if not (remaining := self.count()):
                return 0
            left = deadline - time.monotonic()
            if left <= 0:
                return remaining
            # Slices: a cluster that does not answer must not hold up the others, and a client may
            # become a mover's to serve.
            waiting = [
                link for link in dispatch.links() if not link.tracker.diverted and len(link.client)
            ]
            for link in waiting:
                with suppress(ClosedError):
                    link.client.flush(max(0.0, min(_SLICE, deadline - time.monotonic())))
            if not waiting:
                time.sleep(min(left, _LOOK_AGAIN))

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        """Fail what is undelivered, held messages included."""
        for link in self._dispatch.links():
            if in_queue:
                self._dispatch.give_up(link, end=False)
            link.client.purge(in_queue, in_flight, blocking)

    def close(self, timeout: float | None) -> int:
        """Flush, end the movers, free every client; returns how many messages failed."""
        dispatch = self._dispatch
        try:
            self.flush(timeout)
        finally:
            dispatch.stop()
            dispatch.router.close()
            failed, failure = dispatch.given_up, None
            for link in dispatch.take_all():
                try:
                    failed += link.client.close(0)
                except Exception as error:
                    failure = failure or error
            while dispatch.later:
                try:
                    self.serve_later()
                except Exception as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        return failed


def _poll(link: Link, timeout: float) -> int:
    try:
        return link.client.poll(timeout)
    except ClosedError:  # its channels have left, and so has it
        return 0


def deadline_of(timeout: float | None) -> float:
    """The monotonic time at which `timeout` seconds are over."""
    return float("inf") if timeout is None or timeout < 0 else time.monotonic() + timeout
