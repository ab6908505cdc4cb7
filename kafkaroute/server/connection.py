"""What a TCP connection of the service is given besides uvicorn's own: limits in time, and the
client certificate of TLS as ASGI's TLS extension."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

__all__ = ["HEAD_TIMEOUT", "guarded"]

#: Seconds for the whole head of a request. uvicorn lets a half-sent one stand for ever.
HEAD_TIMEOUT = 10.0


def guarded(protocol: type[Any], head_timeout: float = HEAD_TIMEOUT) -> type[Any]:
    """A uvicorn HTTP protocol that hangs up on a client that takes long to ask, and that adds
    ``scope["extensions"]["tls"]`` where the client showed a certificate (uvicorn verifies it, but
    does not pass it on)."""

    class Guarded(protocol):  # type: ignore[misc]  # chosen at run time
        app: Any
        cycle: Any
        transport: Any
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_head()
            connection = transport.get_extra_info("ssl_object")
            der = connection.getpeercert(binary_form=True) if connection is not None else None
            if der:
                self.app = _adding(self.app, ssl.DER_cert_to_PEM_cert(der))

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_timer()
            elif self._head_timer is None:
                self._await_head()

        def send_400_response(self, msg: str) -> None:
            """What cannot be read as HTTP is told in the contract's form, too."""
            body = json.dumps({"message": msg}).encode()
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
            )
            self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(head_timeout, self._hang_up)

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _hang_up(self) -> None:
            self._head_timer = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Guarded


def _adding(app: Any, certificate: str) -> Any:
    tls = {"client_cert_chain": (certificate,)}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = tls
        await app(scope, receive, send)

    return application
