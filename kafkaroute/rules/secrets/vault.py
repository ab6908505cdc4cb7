"""Secrets in HashiCorp Vault (or OpenBao), version 2 of its key-value engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from ...extras import how_to_get
from ...regular_files import read_regular
from .stores import SecretStore, SecretUnavailable

__all__ = ["VaultStore"]

_TIMEOUT = 3.0
#: Bytes of a token's file. Vault's own tokens have about 100, those with claims of their own 8 KB.
_MAX_TOKEN = 64 * 1024


class VaultStore(SecretStore):
    """``{vault://hcv/kafka/east/password}``: the key ``password`` of the secret ``kafka/east``.

    Configured by Vault's own environment variables, read when Vault is first asked:
    ``VAULT_ADDR``, ``VAULT_NAMESPACE``, ``VAULT_CACERT``; and one of ``VAULT_TOKEN``,
    ``VAULT_TOKEN_FILE`` (as Vault's agent writes it; read again when Vault refuses the token), or
    ``VAULT_ROLE_ID`` with ``VAULT_SECRET_ID`` (AppRole; logs in again when its token ends).
    ``VAULT_KV_MOUNT`` is where the engine is mounted (``secret``).
    """

    def __init__(self) -> None:
        self._client: Any = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def split(self, name: str) -> tuple[str, str]:
        document, _, key = name.rpartition("/")
        parts = document.split("/")
        if not key or not document or any(part in {"", ".", ".."} for part in parts):
            raise ValueError(f"{name!r} is no path and key in Vault, such as kafka/east/password")
        return document, key

    def read(self, document: str) -> Mapping[str, str]:
        try:
            import hvac
            from hvac.exceptions import Forbidden, InvalidPath, Unauthorized, VaultError
            from requests import RequestException
        except ModuleNotFoundError as error:
            raise SecretUnavailable(how_to_get("secrets in Vault", error) or str(error)) from None
        if self._pid != os.getpid():  # the parent's connection is not for the child of a fork
            self._client, self._lock, self._pid = None, threading.Lock(), os.getpid()
        try:
            with self._lock:  # hvac's client shares one session
                try:
                    return self._read(hvac, document)
                except (Forbidden, Unauthorized):
                    self._client = None  # its token may have ended
                    return self._read(hvac, document)
        except InvalidPath:
            return {}
        except (VaultError, RequestException, OSError) as error:
            # Texts of hvac and requests may hold addresses with credentials.
            raise SecretUnavailable(
                f"the secret {document} in Vault: {type(error).__name__}"
            ) from None

    def _read(self, hvac: Any, document: str) -> Mapping[str, str]:
        if self._client is None:
            self._client = _logged_in(hvac)
        found = self._client.secrets.kv.v2.read_secret_version(
            path=document,
            mount_point=os.environ.get("VAULT_KV_MOUNT", "secret"),
            raise_on_deleted_version=True,
        )
        try:
            data = found["data"]["data"]
            return {str(key): str(value) for key, value in data.items() if value is not None}
        except (KeyError, TypeError, AttributeError):
            raise SecretUnavailable(
                f"the secret {document} in Vault: the answer is none of the key-value engine 2"
            ) from None


def _token_in(file: str) -> str:
    try:
        return read_regular(file, _MAX_TOKEN).decode().strip()
    except UnicodeDecodeError:
        raise SecretUnavailable("the file that VAULT_TOKEN_FILE names is not UTF-8 text") from None
    except OSError as error:
        why = f"{error.strerror} ({type(error).__name__})"
        raise SecretUnavailable(f"the file that VAULT_TOKEN_FILE names: {why}") from None


def _logged_in(hvac: Any) -> Any:
    environ = os.environ
    address = environ.get("VAULT_ADDR")
    if not address:
        raise SecretUnavailable("secrets in Vault need the environment variable VAULT_ADDR")
    client = hvac.Client(
        url=address,
        token="",  # not what hvac would find in the home directory
        namespace=environ.get("VAULT_NAMESPACE") or None,
        verify=environ.get("VAULT_CACERT") or True,
        timeout=_TIMEOUT,
        allow_redirects=False,
    )
    if token := environ.get("VAULT_TOKEN"):
        client.token = token
    elif file := environ.get("VAULT_TOKEN_FILE"):
        client.token = _token_in(file)
    elif role := environ.get("VAULT_ROLE_ID"):
        client.auth.approle.login(role_id=role, secret_id=environ.get("VAULT_SECRET_ID"))
    else:
        raise SecretUnavailable(
            "secrets in Vault need VAULT_TOKEN, VAULT_TOKEN_FILE, or VAULT_ROLE_ID and "
            "VAULT_SECRET_ID in the environment"
        )
    return client
