"""Ports for servers that are told theirs before they start."""

from __future__ import annotations

import socket

__all__ = ["free_ports"]


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that the system gives nobody else for the next minute.

    A port that was only bound and released may be an outgoing connection's before a JVM listens.
    One that has just closed a connection rests (TIME_WAIT): whoever names it and sets SO_REUSEADDR,
    as servers do, may listen there, and nobody gets it by chance.
    """
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [_rested(listener) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def _rested(listener: socket.socket) -> int:
    where = listener.getsockname()
    with socket.create_connection(where) as client:
        accepted, _ = listener.accept()
        accepted.close()  # who closes first is who rests
        assert client.recv(1) == b""
    return int(where[1])
