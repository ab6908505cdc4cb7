"""An SSL context from librdkafka's ``ssl.*`` settings."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..refusals import FeatureRefused, SettingRefused

__all__ = ["build_ssl_context"]


def build_ssl_context(settings: Mapping[str, Any]) -> ssl.SSLContext:
    """A client context for the (canonical, typed) `settings`.

    Raises:
        ConfigurationError: a file or PEM text cannot be used; names the setting, never its value.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verify = settings.get("enable.ssl.certificate.verification", True)
    algorithm = settings.get("ssl.endpoint.identification.algorithm", "https")
    context.check_hostname = verify and algorithm != "none"
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    _load_authorities(context, settings)
    if ciphers := settings.get("ssl.cipher.suites"):
        with _named("ssl.cipher.suites"):
            context.set_ciphers(ciphers)
    if crl := settings.get("ssl.crl.location"):
        with _named("ssl.crl.location"):
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    _load_own_certificate(context, settings)
    return context


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Turn a failure to load something into an error that names the setting and hides its value."""
    try:
        yield
    except (OSError, ValueError, TypeError) as exc:  # an SSLError is an OSError
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None)
        raise SettingRefused(f"{key} cannot be used: {reason or type(exc).__name__}") from None


def _load_authorities(context: ssl.SSLContext, settings: Mapping[str, Any]) -> None:
    location = settings.get("ssl.ca.location")
    pem = settings.get("ssl.ca.pem")
    if location and location != "probe":
        with _named("ssl.ca.location"):
            if os.path.isdir(location):  # noqa: PTH112  # the setting is text
                context.load_verify_locations(capath=location)
            else:
                context.load_verify_locations(cafile=location)
    if pem:
        with _named("ssl.ca.pem"):
            context.load_verify_locations(cadata=_unescape(pem))
    if not pem and (not location or location == "probe"):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)


def _load_own_certificate(context: ssl.SSLContext, settings: Mapping[str, Any]) -> None:
    certificate = settings.get("ssl.certificate.location")
    key = settings.get("ssl.key.location")
    certificate_pem = settings.get("ssl.certificate.pem")
    key_pem = settings.get("ssl.key.pem")
    # A key without a password must fail, not ask on the terminal.
    password = settings.get("ssl.key.password") or ""
    if not (certificate or certificate_pem):
        if key or key_pem:
            raise SettingRefused("ssl.key.* is set without ssl.certificate.*")
        return
    if not (key or key_pem):
        raise FeatureRefused("ssl.certificate.* without ssl.key.* is of no use")
    with (
        tempfile.TemporaryDirectory(prefix="kafkaroute-tls-") as folder,
        _named("ssl.key / ssl.certificate"),
    ):
        # Python loads a certificate from files only; these live for this call, mode 0600.
        chain = certificate or _write(folder, "chain.pem", certificate_pem or "")
        secret = key or _write(folder, "key.pem", key_pem or "")
        context.load_cert_chain(chain, secret, password=lambda: password)


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)  # noqa: PTH118  # as the setting is text
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(_unescape(text))
    return path


def _unescape(pem: str) -> str:
    # Catalogs hand PEM text over in one line, with the line ends written as backslash-n.
    return pem.replace("\\n", "\n")
