"""Serving delivery reports, and counting what is not delivered yet, while channels may move."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from ..arguments import patience
from ..errors import ClosedError
from .client import Client
from .dispatch import Dispatch
from .serving import Serving

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
        self._table = dispatch.table
        self.serving = Serving()

    def poll(self, timeout: float | None) -> int:
        """Serve reports; see :meth:`kafkaroute.Producer.poll`."""
        serving = self.serving
        serving.begin("poll")
        try:
            return self._poll(timeout)
        finally:
            serving.end()

    def _poll(self, timeout: float | None) -> int:
        table = self._table
        clients: Iterable[Client]
        served = 0
        if not table.busy:
            clients = table.router.clients()
            for client in clients:
                served += _poll(client, 0)
        else:
            served = self._serve(0)
        if served or timeout == 0:
            return served
        deadline = deadline_of(timeout)
        while not table.closed:
            # Slices: clients come and go, close() may be called, signals want to be handled.
            left = max(0.0, deadline - time.monotonic())
            served = self._serve(min(left, _SLICE))
            if served or left <= 0:
                break
        return served

    def _serve(self, timeout: float) -> int:
        """One round over everything, waiting up to `timeout` seconds in all."""
        table = self._table
        clients = table.clients()
        # Looked at first: what comes into `later` after that is younger than what these have.
        free = [client for client in clients if not client.reports.diverted]
        served = self.serve_later()
        if served:
            timeout = 0
        for client in free:
            served += _poll(client, timeout / len(free))
        if not free and not served and timeout:
            time.sleep(min(timeout, _LOOK_AGAIN))
        if table.busy:
            self._dispatch.rest()
        return served

    def serve_later(self) -> int:
        """Call the callbacks of reports that movers collected."""
        later = self._table.later
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

    def is_open(self) -> bool:
        """Whether close() was not called yet."""
        return not self._table.closed

    def count(self) -> int:
        """Messages and events that wait for delivery or for poll()."""
        table = self._table
        if not table.busy:
            return sum(len(client.native) for client in table.router.clients())
        while True:
            mark = table.activity
            clients = table.clients()
            # In the order in which a message passes: it may be counted twice, never missed.
            count = self._dispatch.cluster_check.kept()
            count += sum(client.kept() for client in clients)
            count += sum(len(client.native) for client in clients)
            count += len(table.later)
            if self._dispatch.is_moving():
                return max(1, count)
            if mark == table.activity:
                return count

    def flush(self, timeout: float | None) -> int:
        """Serve reports until nothing is left; see :meth:`kafkaroute.Producer.flush`."""
        self.serving.begin("flush")
        try:
            return self._flush(timeout)
        finally:
            self.serving.end()

    def _flush(self, timeout: float | None) -> int:
        table = self._table
        deadline = deadline_of(timeout)
        while True:
            if table.busy:
                self._serve(0)
            if not self.count():
                return 0
            left = deadline - time.monotonic()
            if left <= 0:
                # Log lines and error events of a cluster that is away count until they are served.
                self._serve(0)
                return self.count()
            # Slices: a cluster that does not answer must not hold up the others, and a client may
            # become a mover's to serve.
            waiting = [
                client
                for client in table.clients()
                if not client.reports.diverted and len(client.native)
            ]
            for client in waiting:
                with suppress(ClosedError):
                    client.native.flush(max(0.0, min(_SLICE, deadline - time.monotonic())))
            if not waiting:
                time.sleep(min(left, _LOOK_AGAIN))

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        """Fail what is undelivered, held messages included."""
        for client in self._table.clients():
            if in_queue:
                self._dispatch.give_up(client, end=False)
            client.native.purge(in_queue, in_flight, blocking)

    def close(self, timeout: float | None) -> int:
        """Flush, end the movers, free every client; returns how many messages failed."""
        table = self._table
        table.shut()
        try:
            self.flush(timeout)
        finally:
            self._dispatch.stop()
            table.router.close()
            failed, failure = table.given_up, None
            for client in table.take_all():
                try:
                    failed += client.native.close(0)
                except Exception as error:
                    failure = failure or error
            while table.later:
                try:
                    self.serve_later()
                except Exception as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        return failed


def _poll(client: Client, timeout: float) -> int:
    try:
        return client.native.poll(timeout)
    except ClosedError:  # its channels have left, and so has it
        return 0


def deadline_of(timeout: float | None) -> float:
    """The monotonic time at which `timeout` seconds are over."""
    return time.monotonic() + patience(timeout)
