"""TLS of the service's own port: uvicorn's settings, checked before it starts."""

from __future__ import annotations

import ssl
from typing import Any

from ...errors import ConfigurationError

__all__ = ["tls_settings"]


def tls_settings(certificate: str | None, key: str | None, client_ca: str | None) -> dict[str, Any]:
    """uvicorn's ``ssl_…`` settings; none without a `certificate`.

    A client certificate is asked for where there is a `client_ca`, and must be one of its; who has
    none may still prove itself by a password or a token.

    Args:
        certificate: path of the service's chain, PEM.
        key: path of its key; in `certificate` where it is None.
        client_ca: path of the authorities that client certificates must come from.

    Raises:
        ConfigurationError: a file cannot be read or is no such thing, or one is missing.
    """
    if certificate is None:
        if key is not None or client_ca is not None:
            raise ConfigurationError("--tls-key and --tls-client-ca need --tls-cert")
        return {}
    trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a callback OpenSSL would ask the terminal for the password of a locked key.
        trial.load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"--tls-cert {certificate}{f' and --tls-key {key}' if key else ''}: {_why(error)}"
        ) from None
    found: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key}
    if client_ca is not None:
        try:
            trial.load_verify_locations(client_ca)
        except OSError as error:
            raise ConfigurationError(f"--tls-client-ca {client_ca}: {_why(error)}") from None
        found |= {"ssl_ca_certs": client_ca, "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return found


def _no_password() -> str:
    raise ConfigurationError("--tls-key: a key with a password is not read; store it without one")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable PEM certificate and key ({error.reason or 'unreadable'})"
    return error.strerror or type(error).__name__
