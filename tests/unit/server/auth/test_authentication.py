"""Who asks: passwords and certificates, good ones and forged ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from kafkaroute.rules import passwords
from kafkaroute.rules.passwords import hash_password
from kafkaroute.server.auth import authentication, certificates
from kafkaroute.server.auth.authentication import Authentication
from kafkaroute.server.http import Identity, Refused

from .authentication_world import EC, ask, basic, request, state

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
