"""Who asks: passwords, tokens and certificates, good ones and forged ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote

import jwt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from kafkaroute.catalog import passwords
from kafkaroute.catalog.passwords import Authenticator, hash_password
from kafkaroute.catalog.rules_loader import parse_rules
from kafkaroute.server import authentication, certificates
from kafkaroute.server.authentication import Authentication
from kafkaroute.server.bearer import BearerTokens
from kafkaroute.server.http import Identity, Refused, Request
from kafkaroute.server.jwks import IssuerKeys

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


# Passwords.

HASHED = f"callers: [{{name: a, password_hash: '{hash_password('pw-a')}', admin: true}}]"


@pytest.fixture
def scrypts(monkeypatch):
    calls = []
    original = passwords._scrypt_matches

    def counted(*args):
        calls.append(threading.current_thread())
        return original(*args)

    monkeypatch.setattr(passwords, "_scrypt_matches", counted)
    monkeypatch.setattr(passwords, "_proofs", passwords._Proofs())
    return calls


def test_everyone_may_ask_where_nobody_is_named():
    assert ask(Authentication(), request(), state("")) == Identity()


def test_a_password_is_hashed_once_and_off_the_event_loop(scrypts):
    ways, rules = Authentication(), state(HASHED)
    for _ in range(3):
        assert ask(ways, request(basic("a", "pw-a")), rules) == Identity("a", admin=True)
    assert len(scrypts) == 1
    assert scrypts[0] is not threading.main_thread()


def test_requests_at_the_same_time_share_one_computation(scrypts):
    ways, rules = Authentication(), state(HASHED)

    async def at_once():
        return await asyncio.gather(
            *(ways.identify(request(basic("a", "pw-a")), rules) for _ in range(200))
        )

    assert set(asyncio.run(at_once())) == {Identity("a", admin=True)}
    assert len(scrypts) == 1


def test_a_refusal_is_remembered_for_a_short_time(scrypts):
    now = [0.0]
    ways, rules = Authentication(clock=lambda: now[0]), state(HASHED)
    for _ in range(3):
        assert ask(ways, request(basic("a", "wrong")), rules) is None
        assert ask(ways, request(basic("nobody", "pw-a")), rules) is None
    assert len(scrypts) == 2
    now[0] += 11
    assert ask(ways, request(basic("a", "wrong")), rules) is None
    assert len(scrypts) == 3


def test_many_guesses_do_not_push_proofs_out_nor_queue_without_end(monkeypatch, scrypts):
    monkeypatch.setattr(authentication, "_MAX_REMEMBERED", 3)
    monkeypatch.setattr(authentication, "_MAX_WAITING", 4)
    ways, rules = Authentication(), state(HASHED)
    assert ask(ways, request(basic("a", "pw-a")), rules) is not None

    async def guesses():
        found = await asyncio.gather(
            *(ways.identify(request(basic("a", f"guess-{n}")), rules) for n in range(10)),
            return_exceptions=True,
        )
        refused = [one for one in found if isinstance(one, Refused)]
        assert {one.response.status for one in refused} == {503}
        return len(refused)

    assert asyncio.run(guesses()) == 6
    done = len(scrypts)
    assert ask(ways, request(basic("a", "pw-a")), rules) == Identity("a", admin=True)
    assert len(scrypts) == done
    assert len(ways._refused) <= 3


def test_new_rules_end_what_was_remembered():
    ways = Authentication()
    old, new = (
        state("callers: [{name: a, password: x}]"),
        state("callers: [{name: a, password: y}]"),
    )
    assert ask(ways, request(basic("a", "x")), old) == Identity("a")
    assert ask(ways, request(basic("a", "x")), new) is None
    assert ask(ways, request(basic("a", "y")), new) == Identity("a")


def test_a_changed_secret_ends_a_proof_within_a_minute(monkeypatch):
    now = [0.0]
    ways = Authentication(clock=lambda: now[0])
    rules = state('callers: [{name: a, password: "{vault://env/pw-of-a}"}]')
    monkeypatch.setenv("PW_OF_A", "first")
    assert ask(ways, request(basic("a", "first")), rules) == Identity("a")
    monkeypatch.setenv("PW_OF_A", "second")
    now[0] += 61
    assert ask(ways, request(basic("a", "first")), rules) is None
    assert ask(ways, request(basic("a", "second")), rules) == Identity("a")


def test_neither_passwords_nor_tokens_are_kept():
    import gc

    ways, rules = Authentication(), state("callers: [{name: a, password: x}]")
    header = basic("a", "never-kept")
    assert ask(ways, request(header), rules) is None
    assert ask(ways, request(basic("a", "x")), rules) is not None
    gc.collect()
    kept = repr(vars(ways))
    assert "never-kept" not in kept
    assert header.removeprefix("Basic ") not in kept
    assert base64.b64encode(b"a:x").decode() not in kept


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Digest x", "Bearer x", "basic \xff"])
def test_nothing_that_proves_anything(header):
    ways = Authentication()
    assert ask(ways, request(header), state("callers: [{name: a, password: x}]")) is None
    assert [value for _, value in ways.challenges()] == [
        b'Basic realm="kafkaroute", charset="UTF-8"'
    ]


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


def segment(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header, payload, signature):
    parts = [segment(json.dumps(part).encode()) for part in (header, payload)]
    return f"Bearer {'.'.join(parts)}.{segment(signature('.'.join(parts).encode()))}"


@pytest.mark.parametrize(
    "good",
    [
        token(),
        token(EC, "ES256", "e"),
        token(ED, "EdDSA", "d"),
        token(EC, "ES256", None),
        token(aud=["x", "second"]),
    ],
)
def test_good_tokens(good):
    assert ask(Issuer().ways(), request(good), state(TOKENS)) == Identity("billing", admin=True)


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -10), ("nbf", 10)])
def test_times_within_the_leeway_of_30_s(claim, seconds):
    good = token(**{claim: int(time.time()) + seconds})
    assert ask(Issuer().ways(), request(good), state(TOKENS)) == Identity("billing", admin=True)


PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
HEADER = {"typ": "JWT", "kid": "r"}
REFUSED = {
    "another key": token(OTHER),
    "no signature": forged(HEADER | {"alg": "none"}, claims(), lambda _: b""),
    "None with a capital": forged(HEADER | {"alg": "None"}, claims(), lambda _: b""),
    "no algorithm": forged(HEADER, claims(), lambda _: b""),
    "the public key as a secret": forged(
        HEADER | {"alg": "HS256"}, claims(), lambda data: hmac.digest(PEM, data, "sha256")
    ),
    "an algorithm that is not listed": token(algorithm="PS256"),
    "RSA by the EC key's name": token(kid="e"),
    "EC by the RSA key's name": token(EC, "ES256", "r"),
    "a key of its own": token(OTHER, headers={"jwk": jwk(OTHER, "r")}),
    "a key set of its own": token(OTHER, kid="o", headers={"jku": "https://evil.example/keys"}),
    "an unknown key": token(kid="x"),
    "a critical header": token(headers={"crit": ["exp"]}),
    "expired": token(exp=int(time.time()) - 40),
    "never expires": token(exp=None),
    "expires at no time": token(exp="soon"),
    "too early": token(nbf=int(time.time()) + 86_000),
    "another audience": token(aud="kafka"),
    "no audience": token(aud=None),
    "another issuer": token(iss="https://evil.example"),
    "no issuer": token(iss=None),
    "no name": token(sub=None),
    "a name that is no text": forged(
        HEADER | {"alg": "RS256"}, claims(sub=["billing"]), lambda _: b"x"
    ),
    "an unprintable name": token(sub="bil\nling"),
    "an empty name": token(sub=""),
    "a long name": token(sub="x" * 300),
    "a changed payload": ".".join(
        [token().split(".")[0], segment(json.dumps(claims(sub="reports")).encode()), "eA"]
    ),
    "too long": "Bearer " + "x" * 20_000,
    "garbage": "Bearer a.b.c",
    "nothing": "Bearer ",
    "five parts": "Bearer a.b.c.d.e",
    "deep": "Bearer " + segment(b"[" * 9_000) + ".e30.e30",
    "a list as header": "Bearer " + segment(b"[]") + ".e30.e30",
    "a list as payload": forged(HEADER | {"alg": "RS256"}, ["x"], lambda _: b"x"),
    "a number as key id": forged(HEADER | {"alg": "RS256", "kid": 1}, claims(), lambda _: b"x"),
    "not ASCII": "Bearer \xff\xfe.\xff.\xff",
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
def test_forged_and_useless_tokens(bad, caplog):
    status, message, challenges = ask(Issuer().ways(), request(bad), state(TOKENS))
    assert status == 401
    assert message.startswith("Unauthorized: the ")
    assert challenges[0].startswith("Basic ")
    assert challenges[1].startswith('Bearer realm="kafkaroute", error="invalid_token", error_desc')
    for part in bad.removeprefix("Bearer ").split("."):
        assert len(part) < 5 or part not in message + caplog.text


def test_reasons_are_precise():
    def reason(name):
        return ask(Issuer().ways(), request(REFUSED[name]), state(TOKENS))[1]

    assert reason("expired") == "Unauthorized: the token has expired"
    assert reason("another audience").endswith("is meant for another audience")
    assert reason("another issuer").endswith("the token's issuer is not accepted")
    assert reason("never expires") == "Unauthorized: the token has no 'exp'"
    assert reason("no signature").endswith("algorithm is not accepted")
    assert reason("the public key as a secret").endswith("algorithm is not accepted")
    assert reason("an unknown key").endswith("the issuer has no such key")


def test_keys_that_may_not_verify():
    unfit = [
        jwk(RSA, "r", use="enc"),
        jwk(WEAK, "r"),
        {"kty": "oct", "kid": "r", "k": segment(PEM)},
        {"kty": "RSA", "kid": "r"},
        {"kty": "XX", "kid": "r"},
        "text",
        jwk(RSA, "r", alg="PS256"),
        jwk(ED, "d"),
    ]
    status, message, _ = ask(Issuer(unfit).ways(), request(token()), state(TOKENS))
    assert (status, message) == (401, "Unauthorized: the issuer has no such key")


def test_without_a_key_id_only_where_there_is_no_choice():
    nameless = request(token(kid=None))
    one, two = Issuer([jwk(RSA, "r"), jwk(EC, "e")]), Issuer([jwk(RSA, "r"), jwk(OTHER, "o")])
    assert ask(one.ways(), nameless, state(TOKENS)) == Identity("billing", admin=True)
    assert ask(two.ways(), nameless, state(TOKENS))[1].endswith("the issuer has no such key")


def test_the_claim_the_prefix_and_who_is_not_listed():
    text = TOKENS.replace("algorithms:", 'claim: azp\n      prefix: "p-"\n      algorithms:')
    ways = Issuer().ways()
    good = request(token(azp="app"))
    assert ask(ways, good, state(text))[0] == 403
    assert ask(ways, good, state(text.replace("name: billing", "name: p-app"))) == Identity(
        "p-app", admin=True
    )
    anybody = state(text.replace("algorithms:", "listed_only: false\n      algorithms:"))
    assert ask(ways, good, anybody) == Identity("p-app")
    assert "'azp' names nobody" in ask(ways, request(token()), anybody)[1]


def test_passwords_go_on_beside_tokens():
    ways, rules = Issuer().ways(), state(TOKENS)
    assert ask(ways, request(basic("reports", "secret-pw")), rules) == Identity("reports")
    assert ask(ways, request(basic("billing", "")), rules) is None
    assert ask(ways, request(), rules) is None
    assert [value.split()[0] for _, value in ways.challenges()] == [b"Basic", b"Bearer"]


def test_a_token_is_verified_once_a_minute_and_not_beyond_its_life(monkeypatch):
    issuer = Issuer()
    ways, rules = issuer.ways(), state(TOKENS)
    proven = []
    original = BearerTokens.prove

    async def counted(self, *args):
        proven.append(1)
        return await original(self, *args)

    monkeypatch.setattr(BearerTokens, "prove", counted)
    long, short = token(exp=int(time.time()) + 3600), token(exp=int(time.time()) - 20)
    for _ in range(3):
        ask(ways, request(long), rules)
        ask(ways, request(short), rules)
    assert len(proven) == 2
    issuer.now += 15  # the short one had 10 s left, leeway included
    ask(ways, request(long), rules)
    ask(ways, request(short), rules)
    assert len(proven) == 3
    issuer.now += 61
    ask(ways, request(long), rules)
    assert len(proven) == 4


def test_a_rotated_key_is_fetched_when_it_is_first_used():
    issuer = Issuer([jwk(RSA, "old")])
    ways, rules = issuer.ways(), state(TOKENS)
    assert ask(ways, request(token(kid="old")), rules) == Identity("billing", admin=True)
    issuer.keys = [jwk(OTHER, "new")]
    issuer.now += 15
    assert ask(ways, request(token(OTHER, kid="new")), rules) == Identity("billing", admin=True)
    assert issuer.fetches == 2
    issuer.now += 61
    assert ask(ways, request(token(kid="old")), rules)[0] == 401


def test_a_withdrawn_key_ends():
    issuer = Issuer()
    ways, rules = issuer.ways(), state(TOKENS)
    good = request(token(exp=int(time.time()) + 3600))
    assert ask(ways, good, rules) == Identity("billing", admin=True)
    issuer.keys = [jwk(OTHER, "r")]
    issuer.now += 301
    assert ask(ways, good, rules)[0] == 401


def test_made_up_key_ids_do_not_make_it_ask_the_issuer_each_time():
    issuer = Issuer()
    ways, rules = issuer.ways(), state(TOKENS)
    for number in range(50):
        assert ask(ways, request(token(kid=f"x{number}")), rules)[0] == 401
    assert issuer.fetches == 1
    issuer.now += 11
    for number in range(50):
        assert ask(ways, request(token(kid=f"y{number}")), rules)[0] == 401
    assert issuer.fetches == 2


def test_an_issuer_that_cannot_be_reached(caplog):
    issuer = Issuer(OSError("http://user:pass@proxy"))
    ways, rules = issuer.ways(), state(TOKENS)
    for _ in range(5):
        status, message, _ = ask(ways, request(token()), rules)
        assert (status, message) == (503, "The keys of the token's issuer cannot be had")
    assert issuer.fetches == 1
    assert "user:pass" not in caplog.text
    assert "the keys at https://sso.example.net/keys cannot be fetched: OSError" in caplog.text

    issuer.now += 11
    issuer.keys = KEYS
    assert ask(ways, request(token()), rules) == Identity("billing", admin=True)
    # It goes away again: the keys that are there serve for an hour.
    issuer.keys = ValueError("answered 500")
    issuer.now += 1800
    assert ask(ways, request(token()), rules) == Identity("billing", admin=True)
    issuer.now += 1801
    assert ask(ways, request(token()), rules)[0] == 503


@pytest.mark.parametrize("keys", [[], "text", [{"kty": "oct", "k": "eA"}]])
def test_a_key_set_without_keys_never_replaces_a_good_one(keys):
    issuer = Issuer()
    ways, rules = issuer.ways(), state(TOKENS)
    assert ask(ways, request(token()), rules) == Identity("billing", admin=True)
    issuer.keys = keys
    issuer.now += 400
    assert ask(ways, request(token()), rules) == Identity("billing", admin=True)
    assert issuer.fetches == 2


def test_keys_from_a_file(tmp_path):
    path = tmp_path / "key set.json"
    path.write_text(json.dumps({"keys": KEYS}))
    text = TOKENS.replace("https://sso.example.net/keys", f"file://{quote(str(path))}")
    assert ask(Authentication(), request(token()), state(text)) == Identity("billing", admin=True)


# Certificates.


def certificate(cn="billing", *, sans=(), days=(-1, 1), cns=None):
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in (cns or [cn])]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names))
        .public_key(EC.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    made = builder.sign(EC, SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def mtls(more="", callers="{name: billing}"):
    return f"authentication: {{certificates: {{{more}}}}}\ncallers: [{callers}]\n"


PROXIED = "header: Client-Cert, proxies: [10.0.0.0/8, '::1']"
GOOD = certificate()
DER = base64.b64encode(
    x509.load_pem_x509_certificate(GOOD.encode()).public_bytes(serialization.Encoding.DER)
).decode()


def proxied(value, peer="10.1.2.3", times=1, **more):
    headers = [(b"Client-Cert", value.encode())] * times
    return request(headers=headers, client=(peer, 1), **more)


def test_a_certificate_of_the_connection():
    ways, rules = Authentication(), state(mtls())
    for _ in range(2):
        assert ask(ways, request(certificate=GOOD), rules) == Identity("billing")
    assert ask(ways, request(), rules) is None
    assert ask(ways, request(certificate=certificate("other")), rules)[0] == 403
    assert (
        ask(ways, request(certificate=GOOD), state("callers: [{name: billing, password: x}]"))
        is None
    )


@pytest.mark.parametrize("value", [f":{DER}:", quote(GOOD), GOOD.replace("\n", "%0A")])
def test_a_certificate_that_a_proxy_verified(value):
    ways, rules = Authentication(), state(mtls(PROXIED))
    assert ask(ways, proxied(value), rules) == Identity("billing")
    assert ask(ways, proxied(value, "::1"), rules) == Identity("billing")
    assert ask(ways, proxied(value, "::ffff:10.9.9.9"), rules) == Identity("billing")


def test_the_header_of_anybody_else_is_no_proof():
    ways, rules = Authentication(), state(mtls(PROXIED))
    value = f":{DER}:"
    assert ask(ways, proxied(value), rules) == Identity("billing")
    for peer in ("11.0.0.1", "127.0.0.1", "unix", ""):
        assert ask(ways, proxied(value, peer), rules) is None
    assert ask(ways, proxied(value), state(mtls())) is None
    status, message, _ = ask(ways, proxied(value, times=2), rules)
    assert (status, message) == (401, "Unauthorized: the header Client-Cert stands there twice")
    # The connection's own still counts.
    own = certificate("other")
    rules = state(mtls(PROXIED, "{name: billing}, {name: other}"))
    assert ask(ways, proxied(value, "11.0.0.1", certificate=own), rules) == Identity("other")
    assert ask(ways, proxied(value, certificate=own), rules) == Identity("billing")


SANS = [
    x509.DNSName("host.example.net"),
    x509.UniformResourceIdentifier("spiffe://example.net/billing"),
    x509.RFC822Name("billing@example.net"),
]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("dns", "host.example.net"),
        ("uri", "spiffe://example.net/billing"),
        ("email", "billing@example.net"),
        ("common_name", "billing"),
    ],
)
def test_the_part_that_is_the_name(part, name):
    found = ask(
        Authentication(),
        request(certificate=certificate(sans=SANS)),
        state(mtls(f"name: {part}", f"{{name: '{name}', admin: true}}")),
    )
    assert found == Identity(name, admin=True)


@pytest.mark.parametrize(
    ("bad", "part", "message"),
    [
        (certificate(days=(-2, -1)), "common_name", "is not valid now"),
        (certificate(days=(1, 2)), "common_name", "is not valid now"),
        (certificate(cns=["billing", "other"]), "common_name", "not exactly one name"),
        (certificate(sans=[*SANS, x509.DNSName("billing")]), "dns", "not exactly one name"),
        (certificate(), "uri", "not exactly one name"),
        (certificate("bil\nling"), "common_name", "not exactly one name"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "dns", "cannot be read"),
        ("garbage", "dns", "cannot be read"),
        (":%%%:", "dns", "cannot be read"),
        (":AAAA:", "dns", "cannot be read"),
    ],
)
def test_certificates_that_name_nobody(bad, part, message):
    status, text, _ = ask(Authentication(), request(certificate=bad), state(mtls(f"name: {part}")))
    assert status == 401
    assert message in text


def test_an_authorization_header_goes_before_a_certificate():
    rules = state(mtls("", "{name: billing}, {name: reports, password: x}"))
    ways = Authentication()
    assert ask(ways, request(basic("reports", "x"), certificate=GOOD), rules) == Identity("reports")
    assert ask(ways, request(basic("reports", "y"), certificate=GOOD), rules) is None


def test_the_digest_that_remembers_is_keyed():
    ways = Authentication()
    header = basic("a", "x").encode()
    assert ways._digest(header) != hashlib.blake2b(header, digest_size=16).digest()
    assert ways._digest(header) != Authentication()._digest(header)


def test_trustme_makes_what_browsers_send():
    issued = trustme.CA().issue_cert(common_name="billing", key_type=trustme.KeyType.ECDSA)
    pem = issued.cert_chain_pems[0].bytes()
    assert certificates.name_in(pem, "common_name") == "billing"
