"""How a Kafka client proves that its peer is a rightful broker, and what of that an answer may not
weaken where the application brings a secret of its own (docs/security.md has the table)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .backend.settings_keys import canonical_key, is_secret

__all__ = ["ENCRYPTED", "brings_secret", "is_off", "names_weak_ciphers", "weakened"]

ENCRYPTED = frozenset({"SSL", "SASL_SSL"})
#: librdkafka's spellings of no, and others that people use.
_OFF = frozenset({"false", "0", "no", "f", "n"})
_VERIFICATION = "enable.ssl.certificate.verification"
_IDENTIFICATION = "ssl.endpoint.identification.algorithm"
#: Whom a client trusts, and how a connection is protected.
_ANCHORS = frozenset(
    {"ssl.ca.location", "ssl.ca.pem", "ssl.ca.certificate.stores", "ssl.crl.location"}
)
_CIPHERS = frozenset({"ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list"})
#: Mechanisms that do not hand the secret over (RFC 5802, RFC 4752): the broker proves that it knows
#: it, too.
_SECRET_IS_KEPT = frozenset({"SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"})
#: OpenSSL's names (ciphers(1)) of suites without encryption, without authentication, and of sets
#: that contain such.
_WEAK = re.compile(r"NULL|ADH|AECDH|ANON|EXP|LOW|COMPLEMENTOF|@SECLEVEL=0|\AALL\Z")


def is_off(key: str, value: object) -> bool:
    """Whether `value` of the setting `key` turns the proof of the peer off."""
    text = str(value).strip().lower()
    if key == _VERIFICATION:
        return text in _OFF
    return key == _IDENTIFICATION and text in {"none", ""}


def names_weak_ciphers(value: object) -> bool:
    """Whether a list of ciphers (OpenSSL's format) lets in what encrypts or proves nothing."""
    tokens = re.split(r"[:, ]+", str(value).upper())
    return any(_WEAK.search(token) for token in tokens if token[:1] not in {"!", "-"})


def brings_secret(own: Mapping[str, Any]) -> bool:
    """Whether the application's settings hold a secret that a login hands over."""
    return any(
        key == "oauth_cb" or (key.startswith("sasl.") and key != "sasl.username" and is_secret(key))
        for key in map(canonical_key, own)
    )


def weakened(
    tables: Iterable[Mapping[str, Any]], own: Mapping[str, Any], allow: Collection[str]
) -> list[str]:
    """Settings of an answer's `tables` that weaken how the peer is proven that gets the
    application's own secret: neither set in `own`, which wins, nor in `allow`."""
    found = []
    for table in tables:
        for key, value in table.items():
            name = canonical_key(key)
            if name not in own and name not in allow and _weakens(name, value):
                found.append(f"{name} (beside the application's own secret)")
    return found


def _weakens(name: str, value: object) -> bool:
    if name == "security.protocol":
        return str(value).strip().upper() != "SASL_SSL"
    if name == "sasl.mechanisms":
        return str(value).strip().upper() not in _SECRET_IS_KEPT
    return name in _ANCHORS or name in _CIPHERS or is_off(name, value)
