"""Connections that neither swallow a broker's last word nor leave a socket behind.

kafka-python drops what arrives together with the end of a connection, so that a refusal of the
credentials looks like a lost connection; and it forgets the socket of a failed TLS handshake,
for which it waits for ever.
"""

from __future__ import annotations

import ssl
from typing import Any

from ..library import KafkaSSLTransport, KafkaTCPTransport, create_connection, kp

__all__ = ["open_transport"]


class _HearsOut:
    """Hands data over before the error that came with it; the next read meets the error again."""

    def _sock_recv(self) -> tuple[bytes, BaseException | None]:
        data, error = super()._sock_recv()  # type: ignore[misc]
        return (data, None) if data else (data, error)


class _TcpTransport(_HearsOut, KafkaTCPTransport):  # type: ignore[misc]  # untyped library
    pass


class _TlsTransport(_HearsOut, KafkaSSLTransport):  # type: ignore[misc]  # untyped library
    async def handshake_until(self, timeout_at: float | None) -> None:
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._net.wait_read(self._sock, timeout_at)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(self._sock, timeout_at)
            else:
                return


async def open_transport(manager: Any, node: Any, timeout_at: float | None) -> Any:
    """As ``KafkaConnectionManager._build_transport``."""
    net, config = manager._net, manager.config
    sock = await create_connection(
        net,
        node.host,
        node.port,
        config["socket_options"],
        proxy_url=config["proxy_url"],
        timeout_at=timeout_at,
    )
    if not manager.ssl_enabled:
        return _TcpTransport(net, sock, host=node.host)
    settings = {key: value for key, value in config.items() if key.startswith("ssl_")}
    try:
        transport = _TlsTransport(net, sock, host=node.host, **settings)
    except BaseException:
        sock.close()
        raise
    try:
        await transport.handshake_until(timeout_at)
    except BaseException as exc:  # also when the loop ends under it
        transport._sock.close()
        if isinstance(exc, Exception):
            raise kp.KafkaConnectionError(f"Handshake failed: {exc}") from exc
        raise
    return transport
