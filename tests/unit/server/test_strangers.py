"""What a stranger who speaks no HTTP, or ends no handshake, costs."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import pytest
import trustme

from kafkaroute.server import rare_warnings
from kafkaroute.server.loops import impatient
from kafkaroute.server.rare_warnings import Rarely


def test_a_warning_is_written_once_in_a_minute(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(rare_warnings, "monotonic", lambda: now[0])
    log = Rarely(logging.getLogger("rarely"))
    for _ in range(5):
        log.warning("malformed")
    assert [one.getMessage() for one in caplog.records] == ["malformed"]
    now[0] = 61.0
    log.warning("malformed")
    log.warning("malformed")
    assert [one.getMessage() for one in caplog.records][1:] == [
        "malformed (4 more warnings since the last one)"
    ]
    assert log.level == logging.getLogger("rarely").level


def test_a_handshake_that_does_not_end_is_ended(caplog):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    async def scenario():
        async def never(_reader, _writer):
            raise AssertionError("the handshake is not done")

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(never, sock=listener, ssl=context)
        async with server:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            async with asyncio.timeout(5):
                with pytest.raises((ConnectionError, EOFError)):
                    # Some loops tell TLS's alert before they hang up.
                    while await reader.read(100):
                        pass
                    raise EOFError
            writer.close()

    with asyncio.Runner(loop_factory=impatient(0.2)) as runner:
        runner.run(scenario())
