"""Who may ask: the sections ``callers`` and ``authentication`` of a rules file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container
from urllib.parse import urlsplit

from .key_rules import NotBoth, Together
from .model import ANY_CALLER, Authentication, Bearer, Caller, Certificates
from .passwords import hash_problem
from .secrets.refs import is_reference, reference_problem
from .shapes import Field, Leaf, ListOf, Nodes, OneOrMore, Reading, Record, Values
from .values import BOOLEAN, TEXT
from .yaml_nodes import Node

__all__ = ["AUTHENTICATION", "CALLER", "may_ask"]

#: Public-key signatures of RFC 7518 and RFC 8037. Not HS*: whoever knows the key that verifies
#: (for a public key, everybody) could sign with it.
_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_USUAL_ALGORITHMS = ("RS256", "ES256")
_NAMES = ("common_name", "dns", "uri", "email")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
#: Above this a leeway is no clock's error any more.
_MAX_LEEWAY = 300
_EITHER_OR = "a caller has either 'password' or 'password_hash'"
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


def _password(node: Node) -> str:
    password = node.text()
    if is_reference(password) and (problem := reference_problem(password)):
        node.fail(problem)
    return password


def _password_hash(node: Node) -> str:
    password_hash = node.text()
    if problem := hash_problem(password_hash):
        node.fail(problem)
    return password_hash


def _caller_keys(node: Node, nodes: Nodes, values: Values, reading: Reading) -> None:
    """A name and a password; which of them is needed depends on what else is accepted."""
    without = "password" not in nodes and "password_hash" not in nodes
    name = values.get("name")
    if name is not None and ":" in name and not (without and reading.authentication):
        place = nodes["name"]
        reading.attempt(place, place.fail, "a user name holds no colon (RFC 7617)")
    if nodes and without and not reading.authentication:
        reading.attempt(node, node.fail, _EITHER_OR)
    if name is not None:
        if name in reading.callers:
            node.fail("this caller stands here twice")
        reading.callers.add(name)


def _jwks(node: Node) -> str:
    jwks = node.text()
    parts = urlsplit(jwks)
    if not (
        (parts.scheme == "https" and parts.hostname)
        or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        or (parts.scheme == "file" and parts.path and parts.netloc in {"", "localhost"})
    ):
        node.fail("expected an https URL (http for this machine only) or file:///path")
    return jwks


def _algorithm(node: Node) -> str:
    if (algorithm := node.text()) not in _ALGORITHMS:
        node.fail(f"{algorithm!r} is not accepted; accepted: {', '.join(_ALGORITHMS)}")
    return algorithm


def _leeway(node: Node) -> float:
    value = node.scalar()
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (0 <= value <= _MAX_LEEWAY)
    ):
        node.fail(f"expected a number of seconds, 0 to {_MAX_LEEWAY}")
    return float(value)


def _kind_of_name(node: Node) -> str:
    if (name := node.text()) not in _NAMES:
        node.fail(f"expected one of {', '.join(_NAMES)}")
    return name


def _header(node: Node) -> str:
    header = node.text()
    if not _HEADER.fullmatch(header) or header.lower() == "authorization":
        node.fail("expected a header's name, such as Client-Cert")
    return header


def _proxy(node: Node) -> str:
    proxy = node.text()
    try:
        ipaddress.ip_network(proxy)
    except ValueError:
        node.fail(f"{proxy!r} is no IP address and no network such as 10.0.0.0/8")
    return proxy


def _caller(values: Values) -> Caller:
    return Caller(is_admin=values.pop("admin", False), **values)


def _bearer(values: Values) -> Bearer:
    return Bearer(audiences=values.pop("audience"), **{"algorithms": _USUAL_ALGORITHMS, **values})


def _issuers(_node: Node, nodes: Nodes, values: Values, _reading: Reading) -> None:
    issuers = [bearer.issuer for bearer in values.get("bearer", ())]
    if twice := {issuer for issuer in issuers if issuers.count(issuer) > 1}:
        nodes["bearer"].fail(f"the issuer {min(twice)!r} stands here twice")


def _any_way(node: Node, nodes: Nodes, _values: Values, _reading: Reading) -> None:
    if not nodes:
        node.fail("expected 'bearer', 'certificates' or both")


CALLER = Record(
    {
        "name": Field(Leaf(Node.text, {"type": "string", "minLength": 1}), required=True),
        "password": Field(
            Leaf(_password, {"type": "string", "minLength": 1}),
            "Plain, or better a reference such as {vault://env/name}.",
        ),
        "password_hash": Field(
            Leaf(_password_hash, {"type": "string", "pattern": "^scrypt\\$"}),
            "As `kafkaroute hash-password` prints it.",
        ),
        "admin": Field(BOOLEAN, "May look at the page and move channels."),
    },
    make=_caller,
    name="caller",
    rules=(NotBoth("password", "password_hash", _EITHER_OR),),
    checks=(_caller_keys,),
    json={
        "if": {"anyOf": [{"required": ["password"]}, {"required": ["password_hash"]}]},
        "then": {"properties": {"name": {"pattern": "^[^:]*$"}}},
    },
)
BEARER = Record(
    {
        "issuer": Field(TEXT, required=True),
        "audience": Field(
            OneOrMore(TEXT, "texts"), "A token must be meant for one of them.", required=True
        ),
        "jwks": Field(
            Leaf(
                _jwks,
                {
                    "type": "string",
                    "pattern": r"^(https://[^/]|http://(127\.0\.0\.1|localhost|\[::1\])[:/]"
                    r"|file://(localhost)?/)",
                },
            ),
            "Where the issuer's public keys are.",
            required=True,
        ),
        "algorithms": Field(
            OneOrMore(Leaf(_algorithm, {"enum": list(_ALGORITHMS)}, "algorithm")),
            "Believed signatures; RS256 and ES256 by default.",
        ),
        "claim": Field(TEXT, "Whose value is the caller's name; sub by default."),
        "prefix": Field(TEXT, "Put before the caller's name."),
        "leeway": Field(
            Leaf(_leeway, {"type": "number", "minimum": 0, "maximum": _MAX_LEEWAY}),
            "Seconds by which the issuer's clock may differ.",
        ),
        "listed_only": Field(BOOLEAN, "Refuse who is not among the callers; true by default."),
    },
    make=_bearer,
    name="bearer",
)
CERTIFICATES = Record(
    {
        "name": Field(
            Leaf(_kind_of_name, {"enum": list(_NAMES)}), "Which part is the caller's name."
        ),
        "header": Field(
            Leaf(
                _header,
                {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9-]+$",
                    "not": {"pattern": "^[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn]$"},
                },
            ),
            "Where a proxy puts the certificate that it verified.",
        ),
        "proxies": Field(
            OneOrMore(Leaf(_proxy, TEXT.json, TEXT.name), "texts"),
            "Addresses or networks of those proxies.",
        ),
        "prefix": Field(TEXT),
        "listed_only": Field(BOOLEAN),
    },
    make=lambda values: Certificates(**values),
    name="certificates",
    rules=(
        Together(
            "header",
            "proxies",
            "'header' and 'proxies' belong together: the header of anybody else is no proof",
        ),
    ),
    json={"description": "Client certificates (mTLS)."},
)
AUTHENTICATION = Record(
    {
        "bearer": Field(ListOf(BEARER), "Believed issuers of OAuth 2 access tokens (JWT)."),
        "certificates": Field(CERTIFICATES),
    },
    make=lambda values: Authentication(**values),
    name="authentication",
    checks=(_any_way, _issuers),
    json={"minProperties": 1},
)
