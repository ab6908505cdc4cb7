"""Ports that are chosen before a server listens on them."""

import errno
import socket

import pytest

from kafkaroute.testing.ports import free_ports


def test_a_server_may_listen_and_nobody_else_gets_it():
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as other:
            with pytest.raises(OSError, match="in use") as caught:
                other.bind(("127.0.0.1", port))
            assert caught.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)) as server:
            assert server.getsockname()[1] == port
