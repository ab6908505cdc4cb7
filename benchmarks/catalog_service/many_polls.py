"""Thousands of open long polls: what they hold, and what a change of their channel costs.

After a change each client does what kafkaroute's own does: the poll's answer only tells it to ask,
so it asks again (with the ETag that it had) and then opens the next poll.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from .serving import HEADERS, QUERY, Process

_WAIT = 300
_AT_ONCE = 200
_BASE = "\r\n".join(
    (f"GET /?{QUERY} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in HEADERS.items()))
)


@dataclass(frozen=True)
class Polls:
    """`polls` open at once; a change that all of them wait for.

    Attributes:
        rss_before, rss: bytes resident of the service without and with them.
        told_after: seconds from the change of the rules file until the last poll was answered.
        settled_after: until the last client had asked again, too, and polled anew.
        requests: that the change caused, the new polls included.
        cpu: seconds of the service's processor time from the change until then.
    """

    polls: int
    rss_before: int
    rss: int
    rss_after: int
    told_after: float
    settled_after: float
    requests: int
    cpu: float


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, etag: str, *, poll: bool) -> None:
        prefer = f"Prefer: wait={_WAIT}\r\n" if poll else ""
        self.writer.write(f"{_BASE}\r\nIf-None-Match: {etag}\r\n{prefer}\r\n".encode())

    async def reply(self) -> tuple[int, str]:
        """(status, ETag)"""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if length := re.search(r"content-length: (\d+)", head):
            await self.reader.readexactly(int(length.group(1)))
        etag = re.search(r"etag: (\S+)", head)
        return int(head.split()[1]), etag.group(1) if etag else ""


async def _measure(process: Process, change: Callable[[], object], count: int, etag: str) -> Polls:
    before = process.rss()
    clients: list[_Client] = []
    while len(clients) < count:
        some = [
            asyncio.open_connection(*process.address)
            for _ in range(min(_AT_ONCE, count - len(clients)))
        ]
        opened = [_Client(*pair) for pair in await asyncio.gather(*some)]
        for client in opened:
            client.send(etag, poll=True)
        clients += opened
    # Everything was sent: what is answered after this question was read after it.
    await _quiet(process)
    full = process.rss()
    told = 0.0
    began, cpu = time.perf_counter(), process.cpu()

    async def one(client: _Client) -> None:
        nonlocal told
        assert (await client.reply())[0] == 200
        told = time.perf_counter()
        client.send(etag, poll=False)
        status, fresh = await client.reply()
        assert (status, fresh != etag) == (200, True)
        client.send(fresh, poll=True)

    tasks = [asyncio.create_task(one(client)) for client in clients]
    change()
    await asyncio.gather(*tasks)
    settled = time.perf_counter()
    await _quiet(process)
    spent = process.cpu() - cpu
    found = Polls(
        count, before, full, process.rss(), told - began, settled - began, 3 * count, spent
    )
    for client in clients:
        client.writer.close()
    return found


async def _quiet(process: Process) -> None:
    """Wait until the service has nothing left to do."""
    for _ in range(100):
        spent = process.cpu()
        await asyncio.sleep(0.5)
        if process.cpu() - spent <= 0.03:
            return
    raise RuntimeError("the service does not come to rest")


def many_polls(process: Process, rules: Path, count: int, etag: str) -> Polls:
    def change() -> None:
        rules.write_text(rules.read_text().replace("eu: orders-eu", "eu: orders-moved"))

    return uvloop.run(_measure(process, change, count, etag))
