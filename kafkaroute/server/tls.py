"""Hands the client certificate of a TLS connection to the application, as ASGI's TLS extension.

uvicorn verifies it (``ssl_cert_reqs``, ``ssl_ca_certs``) but does not pass it on.
"""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ["with_client_certificate"]


def with_client_certificate(protocol: type[Any]) -> type[Any]:
    """A uvicorn HTTP protocol that adds ``scope["extensions"]["tls"]`` to each request."""

    class WithClientCertificate(protocol):  # type: ignore[misc]  # chosen at run time
        app: Any

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connection = transport.get_extra_info("ssl_object")
            der = connection.getpeercert(binary_form=True) if connection is not None else None
            if der:
                self.app = _adding(self.app, ssl.DER_cert_to_PEM_cert(der))

    return WithClientCertificate


def _adding(app: Any, certificate: str) -> Any:
    tls = {"client_cert_chain": (certificate,)}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = tls
        await app(scope, receive, send)

    return application
