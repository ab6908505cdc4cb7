"""How long answers take at a fixed rate, whatever the service does.

wrk sends its next question when it has the last answer, so a service that stands still is asked
less and looks better. Here questions are due at random moments (a Poisson process) and the time of
an answer counts from the moment at which its question was due, also where no connection was free or
this driver was late.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
from collections import deque
from dataclasses import dataclass
from time import perf_counter

import uvloop

from .serving import HEADERS, QUERY, Process

_CONNECTIONS = 64
#: Seconds at the beginning that do not count.
_WARM_UP = 1.0


@dataclass(frozen=True)
class Latencies:
    """Milliseconds."""

    rate: float
    answers: int
    median: float
    p99: float
    p999: float
    most: float


class _Connection(asyncio.Protocol):
    def __init__(self, driver: _Driver) -> None:
        self.driver = driver
        self.due = 0.0
        self.left = 0
        self.head = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, _error) -> None:
        self.driver.lost += 1

    def data_received(self, data: bytes) -> None:
        if self.left == 0:
            self.head += data
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.left = length - len(body)
            self.head = b""
        else:
            self.left -= len(data)
        if self.left == 0:
            self.driver.answered(self)


class _Driver:
    def __init__(self, request: bytes, rate: float, seconds: float) -> None:
        self.request = request
        self.rate = rate
        self.took: list[float] = []
        self.idle: deque[_Connection] = deque()
        self.overdue: deque[float] = deque()
        self.begin = perf_counter() + 0.1
        self.end = self.begin + seconds
        self.lost = 0
        self.waiting = 0
        self.done = asyncio.get_running_loop().create_future()
        self.next = self.begin

    def answered(self, connection: _Connection) -> None:
        if connection.due >= self.begin + _WARM_UP:
            self.took.append(perf_counter() - connection.due)
        self.waiting -= 1
        if self.overdue:
            self.send(connection, self.overdue.popleft())
        else:
            self.idle.append(connection)

    def send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        self.waiting += 1
        connection.transport.write(self.request)

    def tick(self) -> None:
        now = perf_counter()
        while self.next <= now and self.next < self.end:
            if self.idle:
                self.send(self.idle.popleft(), self.next)
            else:
                self.overdue.append(self.next)
            self.next += random.expovariate(self.rate)
        if now > self.end and not self.waiting and not self.overdue:
            self.done.set_result(None)
        elif now > self.end + 60:
            self.done.set_exception(RuntimeError("the service does not keep up"))
        else:
            asyncio.get_running_loop().call_soon(self.tick)


async def _drive(process: Process, rate: float, seconds: float) -> Latencies:
    lines = (f"GET /?{QUERY} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in HEADERS.items()))
    driver = _Driver("\r\n".join((*lines, "", "")).encode(), rate, seconds + _WARM_UP)
    loop = asyncio.get_running_loop()
    for _ in range(_CONNECTIONS):
        _, connection = await loop.create_connection(lambda: _Connection(driver), *process.address)
        driver.idle.append(connection)
    gc.disable()
    try:
        driver.tick()
        await driver.done
    finally:
        gc.enable()
    if driver.lost:
        raise RuntimeError("the service hung up")
    cuts = statistics.quantiles(driver.took, n=1000, method="inclusive")
    milliseconds = [1000 * cuts[at] for at in (499, 989, 998)]
    count = len(driver.took)
    return Latencies(count / seconds, count, *milliseconds, 1000 * max(driver.took))


def latencies(process: Process, *, rate: float, seconds: float) -> Latencies:
    return uvloop.run(_drive(process, rate, seconds))
