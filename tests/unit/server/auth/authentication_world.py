"""Rules, requests, tokens and their keys, for tests of who asks."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from types import SimpleNamespace

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.passwords import Authenticator
from kafkaroute.server.auth.authentication import Authentication
from kafkaroute.server.auth.bearer import BearerTokens
from kafkaroute.server.auth.jwks import IssuerKeys
from kafkaroute.server.http import Refused, Request

REST = """
clusters: [{name: c, connection: {bootstrap.servers: "b:1"}, rules: []}]
profiles: []
"""
ISSUER = "https://sso.example.net"
TOKENS = f"""
authentication:
  bearer:
    - issuer: {ISSUER}
      audience: [kafkaroute, second]
      jwks: https://sso.example.net/keys
      algorithms: [RS256, ES256, EdDSA]
callers: [{{name: billing, admin: true}}, {{name: reports, password: secret-pw}}]
"""


def state(text):
    rules = parse_rules(text + REST)
    return SimpleNamespace(rules=rules, authenticator=Authenticator(rules.callers))


def request(authorization=None, *, headers=(), client=("127.0.0.1", 1), certificate=None):
    sent = list(headers)
    if authorization is not None:
        sent.append((b"authorization", authorization.encode("latin-1")))
    extensions = {"tls": {"client_cert_chain": (certificate,)}} if certificate else {}
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": sent,
        "client": client,
        "extensions": extensions,
    }
    return Request(scope, None)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(ways, request, state):
    """The identity, or (status, message, WWW-Authenticate headers)"""
    try:
        return asyncio.run(ways.identify(request, state))
    except Refused as refused:
        told = [value.decode() for name, value in refused.response.headers if b"www" in name]
        return refused.response.status, json.loads(refused.response.body)["message"], told


# Tokens.

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key, kid, **more):
    algorithm = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    [maker] = [maker for kind, maker in algorithm.items() if isinstance(key, kind)]
    return maker.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} | more


KEYS = [jwk(RSA, "r", alg="RS256", use="sig"), jwk(EC, "e"), jwk(ED, "d")]


class Issuer:
    """Counts fetches; `keys` is what they find."""

    def __init__(self, keys=KEYS):
        self.keys = keys
        self.fetches = 0
        self.now = 0.0

    def fetch(self, url):
        self.fetches += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return {"keys": self.keys}

    def ways(self):
        return Authentication(
            BearerTokens(lambda url: IssuerKeys(url, fetch=self.fetch, clock=lambda: self.now)),
            clock=lambda: self.now,
        )


def claims(**changed):
    now = int(time.time())
    # Some are made when the tests are collected: long before they are used in a whole run.
    made = {"iss": ISSUER, "aud": "kafkaroute", "sub": "billing", "exp": now + 86_400, "iat": now}
    return {name: value for name, value in (made | changed).items() if value is not None}


def token(key=RSA, algorithm="RS256", kid="r", headers=None, **changed):
    more = ({"kid": kid} if kid else {}) | (headers or {})
    return "Bearer " + jwt.encode(claims(**changed), key, algorithm=algorithm, headers=more)
