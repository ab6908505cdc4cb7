"""Strangers who guess passwords keep no caller out, and learn nothing by the clock."""

from __future__ import annotations

import asyncio
import threading
import time

from kafkaroute.rules import passwords
from kafkaroute.rules.passwords import Authenticator, hash_password
from kafkaroute.rules.secrets import refs
from kafkaroute.rules.secrets.cache import SecretCache
from kafkaroute.server.auth.authentication import Authentication
from kafkaroute.server.http import Identity, Refused

from .authentication_world import basic, request, state

CALLERS = ", ".join(f"{{name: u{n}, password_hash: '{hash_password(f'p{n}')}'}}" for n in range(20))
STRANGER, CALLER = ("127.0.0.2", 1), ("127.0.0.3", 1)


def test_first_logins_are_not_behind_the_guesses_of_another_address(monkeypatch):
    monkeypatch.setattr(passwords, "_proofs", passwords._Proofs())
    checked = []

    def slow(stored, password):
        checked.append(password)
        time.sleep(0.01)
        return stored.endswith(password) or original(stored, password)

    original = passwords._scrypt_matches
    monkeypatch.setattr(passwords, "_scrypt_matches", slow)
    ways, rules = Authentication(), state(f"callers: [{CALLERS}]")

    async def attempt(user, password, client):
        try:
            return await ways.identify(request(basic(user, password), client=client), rules)
        except Refused as refused:
            return refused.response.status

    async def scenario():
        # Foreign names and a rightful one: far more than are waited for.
        guesses = [
            asyncio.create_task(attempt(f"u{n % 40}", f"guess-{n}", STRANGER)) for n in range(400)
        ]
        await asyncio.sleep(0.02)
        started = time.monotonic()
        found = await asyncio.gather(*(attempt(f"u{n}", f"p{n}", CALLER) for n in range(20)))
        took = time.monotonic() - started
        answers = await asyncio.gather(*guesses)
        return found, took, answers

    found, took, answers = asyncio.run(scenario())
    assert found == [Identity(f"u{n}") for n in range(20)]
    assert took < 10
    # The guesser is answered too, but for those beyond its share; none of them is let in.
    assert set(answers) == {None, 503}
    before = checked.index("p19")
    assert sum(one.startswith("guess") for one in checked[:before]) <= 30


def test_what_is_too_long_for_a_password_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(passwords, "_scrypt_matches", None)
    ways, rules = Authentication(), state(f"callers: [{CALLERS}]")
    header = basic("u1", "x" * 20_000)
    assert asyncio.run(ways.identify(request(header), rules)) is None


def test_a_name_that_nobody_has_costs_what_those_of_callers_do(monkeypatch):
    cheap, dear = hash_password("a").replace("$16384$", "$1024$"), hash_password("b")
    rules = state(
        f"callers: [{{name: a, password_hash: '{cheap}'}}, {{name: b, password_hash: '{dear}'}}]"
    )
    computed = []
    monkeypatch.setattr(
        passwords, "_scrypt_matches", lambda stored, _: computed.append(stored) or False
    )
    authenticator: Authenticator = rules.authenticator
    for number in range(100):
        for _ in range(2):
            assert not authenticator.check(f"nobody-{number}", "x")
        # Asked twice, a name costs the same.
        assert computed[-1] == computed[-2]
    assert set(computed) == {cheap, dear}


def test_a_password_out_of_a_store_is_not_waited_for_on_the_event_loop(monkeypatch, tmp_path):
    path = tmp_path / "password"
    path.write_text("pw")
    rules = state(f"callers: [{{name: a, password: '{{vault://file{path}}}'}}]")
    monkeypatch.setattr(refs, "_cache", SecretCache())
    threads = []
    monkeypatch.setattr(
        passwords,
        "resolve_reference",
        lambda value: threads.append(threading.current_thread()) or refs.resolve_reference(value),
    )
    found = asyncio.run(Authentication().identify(request(basic("a", "pw")), rules))
    assert found == Identity("a")
    assert threads
    assert threading.main_thread() not in threads
