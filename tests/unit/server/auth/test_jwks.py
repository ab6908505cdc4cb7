"""Signing keys of an issuer that is slow, or hangs up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from kafkaroute.server.auth import jwks
from kafkaroute.server.auth.jwks import IssuerKeys, KeysUnavailable, fetch_jwks

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def issuer(*parts, pause=0.0, length=None):
    """The URL of one that sends these `parts` of a body, with pauses, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            whole = sum(map(len, parts)) if length is None else length
            try:
                peer.sendall(HEAD % whole)
                for part in parts:
                    peer.sendall(part)
                    time.sleep(pause)
            except OSError:
                pass  # the service hung up

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
    listener.close()
    thread.join(10)


def test_keys_in_pieces():
    with issuer(b'{"ke', b'ys": ', b"[]}", pause=0.01) as url:
        assert fetch_jwks(url) == {"keys": []}


def test_keys_that_trickle_in(monkeypatch):
    monkeypatch.setattr(jwks, "_DEADLINE", 0.3)
    with issuer(*[b" "] * 100, pause=0.05) as url:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch_jwks(url)
        assert time.monotonic() - began < 3


def test_keys_that_are_too_many(monkeypatch):
    monkeypatch.setattr(jwks, "_MAX_BYTES", 50)
    with issuer(b" " * 30, b" " * 30, pause=0.01) as url, pytest.raises(ValueError, match="50"):
        fetch_jwks(url)


def test_keys_that_are_cut_off():
    with issuer(b'{"keys"', length=500) as url:
        keys = IssuerKeys(url)
        with pytest.raises(KeysUnavailable):
            asyncio.run(keys.key("kid", "RS256"))
