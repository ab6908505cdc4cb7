"""The event loop that the service runs on: one that hangs up on TLS handshakes that never end."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["HANDSHAKE_TIMEOUT", "impatient", "new_loop"]

#: Seconds for a TLS handshake; asyncio's own minute lets a stranger hold a connection for nothing.
HANDSHAKE_TIMEOUT = 10.0


def _best() -> type[asyncio.AbstractEventLoop]:
    """uvloop's where it is installed, as uvicorn chooses."""
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop
    return uvloop.Loop


def impatient(seconds: float) -> type[asyncio.AbstractEventLoop]:
    """A class of loops whose servers give a TLS handshake so many seconds."""
    base: Any = _best()

    class Loop(base):  # type: ignore[misc]  # chosen when it runs
        async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
            if options.get("ssl") is not None:
                options.setdefault("ssl_handshake_timeout", seconds)
            server: asyncio.Server = await super().create_server(*args, **options)
            return server

    return Loop


def new_loop() -> asyncio.AbstractEventLoop:
    """For uvicorn's setting ``loop``."""
    return impatient(HANDSHAKE_TIMEOUT)()
