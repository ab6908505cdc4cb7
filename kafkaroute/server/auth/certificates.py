"""Who a client certificate speaks for: verified by this service's TLS or by a proxy before it."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.x509.oid import NameOID

from ...rules.model import Certificates

__all__ = ["CertificateRefused", "name_in", "presented"]

_PEM = b"-----BEGIN CERTIFICATE-----"
_SAN_TYPES: dict[str, type[Any]] = {
    "dns": x509.DNSName,
    "uri": x509.UniformResourceIdentifier,
    "email": x509.RFC822Name,
}


class CertificateRefused(Exception):
    """Says why; holds nothing of the certificate."""


def presented(scope: Any, rules: Certificates) -> bytes | None:
    """The client certificate of a request as it came; None where there is none.

    A proxy's header counts only where the request comes from one of the rules' proxies.

    Raises:
        CertificateRefused: the header stands there twice, so one of them is not the proxy's.
    """
    if rules.header is not None and _is_proxy(scope.get("client"), rules.proxies):
        wanted = rules.header.lower().encode()
        values = [value for name, value in scope["headers"] if name.lower() == wanted]
        if len(values) > 1:
            raise CertificateRefused(f"the header {rules.header} stands there twice")
        if values and values[0].strip():
            return bytes(values[0])
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    return chain[0].encode() if chain else None


def _is_proxy(client: tuple[str, int] | None, proxies: Iterable[str]) -> bool:
    return client is not None and any(_within(client[0], network) for network in proxies)


@lru_cache(maxsize=4096)
def _within(address: str, network: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found) in ipaddress.ip_network(network)


def name_in(certificate: bytes, part: str) -> str:
    """The name in a certificate: PEM, percent-encoded PEM (nginx), or RFC 9440's ``:Base64:``.

    Args:
        part: ``common_name``, ``dns``, ``uri`` or ``email``.

    Raises:
        CertificateRefused: no certificate, not valid now, or not exactly one such name.
    """
    try:
        parsed = _parsed(certificate)
        names = _names(parsed, part)
        begins, ends = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateRefused("the client certificate cannot be read") from None
    if not begins <= datetime.now(UTC) <= ends:
        raise CertificateRefused("the client certificate is not valid now")
    if len(names) != 1 or not names[0] or not names[0].isprintable():
        raise CertificateRefused(f"the client certificate has not exactly one name ({part})")
    return names[0]


def _parsed(certificate: bytes) -> x509.Certificate:
    text = certificate.strip()
    if text.startswith(b":") and text.endswith(b":") and len(text) > 2:
        return x509.load_der_x509_certificate(base64.b64decode(text[1:-1], validate=True))
    if b"%" in text:  # which PEM has nowhere
        text = unquote_to_bytes(text)
    if not text.startswith(_PEM):
        raise ValueError
    return x509.load_pem_x509_certificate(text)


def _names(certificate: x509.Certificate, part: str) -> list[str]:
    if part == "common_name":
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(attribute.value) for attribute in found]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name) for name in extension.value.get_values_for_type(_SAN_TYPES[part])]
