"""SSL contexts out of ssl.* settings."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from kafkaroute.errors import ConfigurationError, UnsupportedFeature
from kafkaroute_kafka_python.network.tls import build_ssl_context

AUTHORITY = trustme.CA()
SERVER = AUTHORITY.issue_cert("localhost")
CLIENT = AUTHORITY.issue_cert("client@example.org")
CA_PEM = AUTHORITY.cert_pem.bytes().decode()


def handshake(context: ssl.SSLContext, name: str, *, client_certificate: bool = False) -> Any:
    """Shake hands over a socket pair; returns the client's certificate as the server saw it."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    SERVER.configure_cert(server_context)
    AUTHORITY.configure_trust(server_context)
    if client_certificate:
        server_context.verify_mode = ssl.CERT_REQUIRED
    ours, theirs = socket.socketpair()
    seen: list[Any] = []

    def serve() -> None:
        try:
            with server_context.wrap_socket(theirs, server_side=True) as tls:
                seen.append(tls.getpeercert())
                tls.sendall(b"x")
        except OSError as exc:
            seen.append(exc)
            theirs.close()

    thread = Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname=name) as tls:
            tls.recv(1)
    finally:
        ours.close()
        thread.join(10)
    return seen[0]


@pytest.mark.parametrize("way", ["pem", "one line", "location", "folder"])
def test_authority(way: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(CA_PEM)
    settings = {
        "pem": {"ssl.ca.pem": CA_PEM},
        "one line": {"ssl.ca.pem": CA_PEM.replace("\n", "\\n")},
        "location": {"ssl.ca.location": str(path)},
    }.get(way)
    if settings is None:
        import subprocess

        subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
        settings = {"ssl.ca.location": str(tmp_path)}
    handshake(build_ssl_context(settings), "localhost")


def test_unknown_authority_is_refused() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            build_ssl_context({"ssl.ca.pem": trustme.CA().cert_pem.bytes().decode()}), "localhost"
        )


def test_name_is_checked_unless_switched_off() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(build_ssl_context({"ssl.ca.pem": CA_PEM}), "elsewhere")
    settings = {"ssl.ca.pem": CA_PEM, "ssl.endpoint.identification.algorithm": "none"}
    handshake(build_ssl_context(settings), "elsewhere")


def test_verification_can_be_switched_off() -> None:
    handshake(build_ssl_context({"enable.ssl.certificate.verification": False}), "elsewhere")


@pytest.mark.parametrize("way", ["pem", "location"])
def test_client_certificate(way: str, tmp_path: Path) -> None:
    chain = b"".join(part.bytes() for part in CLIENT.cert_chain_pems).decode()
    key = CLIENT.private_key_pem.bytes().decode()
    settings: dict[str, Any] = {"ssl.ca.pem": CA_PEM}
    if way == "pem":
        settings |= {"ssl.certificate.pem": chain, "ssl.key.pem": key}
    else:
        (tmp_path / "chain").write_text(chain)
        (tmp_path / "key").write_text(key)
        settings["ssl.certificate.location"] = str(tmp_path / "chain")
        settings["ssl.key.location"] = str(tmp_path / "key")
    seen = handshake(build_ssl_context(settings), "localhost", client_certificate=True)
    assert "client@example.org" in str(seen)


def test_key_with_a_password() -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(CLIENT.private_key_pem.bytes(), None)
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    ).decode()
    chain = b"".join(part.bytes() for part in CLIENT.cert_chain_pems).decode()
    settings = {
        "ssl.ca.pem": CA_PEM,
        "ssl.certificate.pem": chain,
        "ssl.key.pem": sealed,
        "ssl.key.password": "open sesame",
    }
    build_ssl_context(settings)
    with pytest.raises(ConfigurationError) as caught:
        build_ssl_context({**settings, "ssl.key.password": "close sesame"})
    assert "sesame" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        build_ssl_context({key: settings[key] for key in settings if key != "ssl.key.password"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssl.ca.location", "/nowhere/ca.pem"),
        ("ssl.ca.pem", "no certificate"),
        ("ssl.crl.location", "/nowhere/crl.pem"),
        ("ssl.cipher.suites", "ROT13"),
    ],
)
def test_what_cannot_be_loaded_is_told_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        build_ssl_context({key: value})
    assert value not in str(caught.value)


def test_half_an_identity_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        build_ssl_context({"ssl.key.pem": "x"})
    with pytest.raises(UnsupportedFeature):
        build_ssl_context({"ssl.certificate.pem": "x"})
