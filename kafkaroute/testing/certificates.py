"""Certificates for a test broker, made by trustme."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BrokerCertificate", "make_certificate"]


@dataclass(frozen=True)
class BrokerCertificate:
    """Attributes:
    keystore: file with the PKCS#8 key, then the certificate chain, as Kafka's PEM store wants.
    ca_pem: the authority's certificate, for clients.
    """

    keystore: Path
    ca_pem: str


def make_certificate(folder: Path) -> BrokerCertificate:
    """A new authority and a certificate of it for 127.0.0.1 and localhost, kept in `folder`."""
    import trustme
    from cryptography.hazmat.primitives import serialization

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    pkcs8 = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    keystore = folder / "broker.pem"
    keystore.touch(mode=0o600)
    keystore.write_bytes(pkcs8 + b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return BrokerCertificate(keystore, authority.cert_pem.bytes().decode())
