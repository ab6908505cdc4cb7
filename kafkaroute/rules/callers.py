"""Reads who may ask: the sections ``callers`` and ``authentication`` of a rules file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .model import ANY_CALLER, Authentication, Bearer, Caller, Certificates
from .passwords import hash_problem
from .secrets.refs import is_reference, reference_problem

if TYPE_CHECKING:
    from .yaml_nodes import Node

__all__ = [
    "BEARER_KEYS",
    "BEARER_REQUIRED",
    "CALLER_KEYS",
    "CERTIFICATE_KEYS",
    "WAYS",
    "has_no_password",
    "may_ask",
    "password_problem",
    "read_authentication",
    "read_bearer",
    "read_callers",
    "read_certificates",
]

WAYS = ("bearer", "certificates")
CALLER_KEYS = ("name", "password", "password_hash", "admin")
BEARER_KEYS = (
    "issuer",
    "audience",
    "jwks",
    "algorithms",
    "claim",
    "prefix",
    "leeway",
    "listed_only",
)
BEARER_REQUIRED = ("issuer", "audience", "jwks")
CERTIFICATE_KEYS = ("name", "header", "proxies", "prefix", "listed_only")

#: Public-key signatures of RFC 7518 and RFC 8037. Not HS*: whoever knows the key that verifies
#: (for a public key, everybody) could sign with it.
_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_DEFAULT_ALGORITHMS = ("RS256", "ES256")
_NAMES = ("common_name", "dns", "uri", "email")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
#: Above this a leeway is no clock's error any more.
_MAX_LEEWAY = 300
_HEADER = re.compile(r"[A-Za-z0-9-]+")


def may_ask(caller: str, callers: Container[str], authentication: Authentication | None) -> bool:
    """Whether credentials for `caller` can ever be asked for."""
    if caller == ANY_CALLER or caller in callers:
        return True
    if authentication is None:
        return False
    certificates = authentication.certificates
    return any(not bearer.listed_only for bearer in authentication.bearer) or (
        certificates is not None and not certificates.listed_only
    )


def read_callers(node: Node, other_ways: bool) -> dict[str, Caller]:
    """The callers by name; `other_ways`: one may be without a password."""
    found: dict[str, Caller] = {}
    for item in node.items():
        fields = item.fields(*CALLER_KEYS, required=("name",))
        name = fields["name"].text()
        if name in found:
            item.fail("this caller stands here twice")
        without = has_no_password(fields)
        if ":" in name and not (without and other_ways):
            fields["name"].fail("a user name holds no colon (RFC 7617)")
        if problem := password_problem(fields, other_ways):
            item.fail(problem)
        password = password_hash = None
        if "password" in fields:
            password = fields["password"].text()
            if is_reference(password) and (problem := reference_problem(password)):
                fields["password"].fail(problem)
        elif "password_hash" in fields:
            password_hash = fields["password_hash"].text()
            if problem := hash_problem(password_hash):
                fields["password_hash"].fail(problem)
        admin = _boolean(fields["admin"]) if "admin" in fields else False
        found[name] = Caller(name, password, password_hash, admin)
    return found


def has_no_password(fields: Container[str]) -> bool:
    return "password" not in fields and "password_hash" not in fields


def password_problem(fields: Container[str], other_ways: bool) -> str | None:
    """What is wrong with the passwords among a caller's `fields`, or None."""
    both = "password" in fields and "password_hash" in fields
    if both or (has_no_password(fields) and not other_ways):
        return "a caller has either 'password' or 'password_hash'"
    return None


def read_authentication(node: Node) -> Authentication:
    """What is accepted besides passwords."""
    fields = node.fields(*WAYS)
    if not fields:
        node.fail("expected 'bearer', 'certificates' or both")
    bearer = (
        tuple(read_bearer(item) for item in fields["bearer"].items()) if "bearer" in fields else ()
    )
    issuers = [one.issuer for one in bearer]
    if twice := {issuer for issuer in issuers if issuers.count(issuer) > 1}:
        fields["bearer"].fail(f"the issuer {min(twice)!r} stands here twice")
    certificates = read_certificates(fields["certificates"]) if "certificates" in fields else None
    return Authentication(bearer, certificates)


def read_bearer(node: Node) -> Bearer:
    """One believed issuer of tokens."""
    fields = node.fields(*BEARER_KEYS, required=BEARER_REQUIRED)
    algorithms = _texts(fields["algorithms"]) if "algorithms" in fields else _DEFAULT_ALGORITHMS
    for algorithm in algorithms:
        if algorithm not in _ALGORITHMS:
            fields["algorithms"].fail(
                f"{algorithm!r} is not accepted; accepted: {', '.join(_ALGORITHMS)}"
            )
    jwks = fields["jwks"].text()
    parts = urlsplit(jwks)
    if not (
        (parts.scheme == "https" and parts.hostname)
        or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        or (parts.scheme == "file" and parts.path and parts.netloc in {"", "localhost"})
    ):
        fields["jwks"].fail("expected an https URL (http for this machine only) or file:///path")
    leeway = 30.0
    if "leeway" in fields:
        value = fields["leeway"].scalar()
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (0 <= value <= _MAX_LEEWAY)
        ):
            fields["leeway"].fail(f"expected a number of seconds, 0 to {_MAX_LEEWAY}")
        leeway = float(value)
    return Bearer(
        issuer=fields["issuer"].text(),
        audiences=_texts(fields["audience"]),
        jwks=jwks,
        algorithms=algorithms,
        claim=fields["claim"].text() if "claim" in fields else "sub",
        prefix=fields["prefix"].text() if "prefix" in fields else "",
        leeway=leeway,
        listed_only=_boolean(fields["listed_only"]) if "listed_only" in fields else True,
    )


def read_certificates(node: Node) -> Certificates:
    """How client certificates are read."""
    fields = node.fields(*CERTIFICATE_KEYS)
    name = fields["name"].text() if "name" in fields else _NAMES[0]
    if name not in _NAMES:
        fields["name"].fail(f"expected one of {', '.join(_NAMES)}")
    if ("header" in fields) != ("proxies" in fields):
        node.fail("'header' and 'proxies' belong together: the header of anybody else is no proof")
    header = None
    if "header" in fields:
        header = fields["header"].text()
        if not _HEADER.fullmatch(header) or header.lower() == "authorization":
            fields["header"].fail("expected a header's name, such as Client-Cert")
    proxies = _texts(fields["proxies"]) if "proxies" in fields else ()
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            fields["proxies"].fail(f"{proxy!r} is no IP address and no network such as 10.0.0.0/8")
    return Certificates(
        name=name,
        header=header,
        proxies=proxies,
        prefix=fields["prefix"].text() if "prefix" in fields else "",
        listed_only=_boolean(fields["listed_only"]) if "listed_only" in fields else True,
    )


def _texts(node: Node) -> tuple[str, ...]:
    """One text or a list of them, not empty."""
    found = (node.text(),) if node.is_scalar else tuple(item.text() for item in node.items())
    if not found:
        node.fail("expected at least one")
    return found


def _boolean(node: Node) -> bool:
    value = node.scalar()
    if not isinstance(value, bool):
        node.fail("expected true or false")
    return value
