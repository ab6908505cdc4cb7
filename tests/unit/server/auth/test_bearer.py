"""Who asks: tokens, good ones and forged ones."""

from __future__ import annotations

import base64
import hmac
import json
import time
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from kafkaroute.server.auth.authentication import Authentication
from kafkaroute.server.auth.bearer import BearerTokens
from kafkaroute.server.http import Identity

from .authentication_world import (
    EC,
    ED,
    KEYS,
    OTHER,
    RSA,
    TOKENS,
    WEAK,
    Issuer,
    ask,
    basic,
    claims,
    jwk,
    request,
    state,
    token,
)


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
