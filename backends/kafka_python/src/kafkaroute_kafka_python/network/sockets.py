"""Sockets that are closed when connecting fails or their client closes, of the address family that
was asked for.

kafka-python leaves a socket that could not connect to the garbage collector. Its ``proxy_url``
setting chooses the class that makes sockets, so these are "proxies" without a proxy.
"""

from __future__ import annotations

import socket
from typing import Any
from weakref import WeakSet

from ..library import KafkaNetSocket, NetworkSelector

__all__ = ["TidyLoop", "socket_url"]


class TidyLoop(NetworkSelector):  # type: ignore[misc]  # untyped library
    """An event loop that leaves no connection open.

    The library closes one only after what is still to be sent on it, and for that the loop may not
    live long enough.
    """

    def __init__(self, **configs: Any) -> None:
        super().__init__(**configs)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def adopt(self, connected: socket.socket) -> None:
        """Close it with the loop, if it is open then."""
        self._sockets.add(connected)

    def close(self) -> None:
        super().close()
        for one in list(self._sockets):
            one.close()


class _TidySocket(KafkaNetSocket):  # type: ignore[misc]  # untyped library
    SCHEMES = ("kafkaroute-any",)
    family = socket.AF_UNSPEC

    def dns_lookup(self, host: str, port: int, raise_error: bool = False) -> Any:
        found = super().dns_lookup(host, port, raise_error)
        if self.family == socket.AF_UNSPEC:
            return found
        return [address for address in found if address[0] == self.family]

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: Any = None) -> Any:
        try:
            connected = await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:  # also when the loop ends under it
            sock.close()
            raise
        if isinstance(net, TidyLoop):
            net.adopt(connected)
        return connected


class _TidySocket4(_TidySocket):
    SCHEMES = ("kafkaroute-v4",)
    family = socket.AF_INET


class _TidySocket6(_TidySocket):
    SCHEMES = ("kafkaroute-v6",)
    family = socket.AF_INET6


def socket_url(family: str) -> str:
    """The ``proxy_url`` for librdkafka's ``broker.address.family`` (any, v4 or v6)."""
    return f"kafkaroute-{family}://direct"
