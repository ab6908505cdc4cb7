"""Threads that take fair turns."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kafkaroute.server.workers import Busy, Workers, neighbourhood


@pytest.fixture
def held():
    """Workers whose one thread waits for `go`; what was begun before waits behind it."""

    class Held:
        def __init__(self):
            self.go = threading.Event()
            self.order = []

        def workers(self, **limits):
            workers = Workers("test", 1, **({"most_each": 100, "most": 1000} | limits))
            begun = threading.Event()
            workers.begin(lambda: begun.set() or self.go.wait(10), who="holder", weight=1)
            assert begun.wait(10)
            return workers

        def begin(self, workers, who, name="", **more):
            label = f"{who}{name}"
            return workers.begin(lambda: self.order.append(label), who=who, name=name, **more)

    found = Held()
    yield found
    found.go.set()


def test_who_asks_for_much_is_behind_itself(held):
    workers = held.workers()
    first = [held.begin(workers, "a") for _ in range(50)]
    last = held.begin(workers, "b")
    held.go.set()
    last.result(10)
    assert held.order[:2] == ["a", "b"]
    for one in first:
        one.result(10)


def test_names_of_one_who_asks_take_turns(held):
    workers = held.workers()
    futures = [held.begin(workers, "a", "1") for _ in range(5)]
    futures += [held.begin(workers, "a", "2"), held.begin(workers, "b", "1")]
    held.go.set()
    for one in futures:
        one.result(10)
    assert held.order[:3] == ["a1", "b1", "a2"]


def test_the_newest_of_the_one_with_the_most_gives_way(held):
    workers = held.workers(most_each=10, most=13)
    greedy = [held.begin(workers, "a", "1") for _ in range(10)]
    with pytest.raises(Busy):
        held.begin(workers, "a", "1").result(10)
    other = held.begin(workers, "a", "2")
    with pytest.raises(Busy):
        greedy[-1].result(10)
    # One is the holder's: in all, two more fit.
    strangers = [held.begin(workers, who, "x") for who in "bcd"]
    with pytest.raises(Busy):
        greedy[-2].result(10)
    held.go.set()
    for one in (*greedy[:-2], other, *strangers):
        one.result(10)
    assert len(held.order) == 12


def test_weights_and_what_is_given_back(held):
    workers = held.workers(most_each=10, most=100)
    heavy = held.begin(workers, "a", weight=8)
    with pytest.raises(Busy):
        held.begin(workers, "a", weight=3).result(10)
    held.go.set()
    heavy.result(10)
    for _ in range(50):
        held.begin(workers, "a", weight=9).result(10)
    assert workers._weight == 0
    assert not workers._parties


def test_an_error_is_told_and_the_thread_goes_on():
    workers = Workers("test", 1, most_each=5, most=5)

    def broken():
        raise ValueError("x")

    async def scenario():
        with pytest.raises(ValueError, match="x"):
            await workers.run(broken, who="a")
        waiting = asyncio.create_task(workers.run(lambda: 1, who="a"))
        await asyncio.sleep(0)
        waiting.cancel()
        return await workers.run(threading.current_thread, who="a")

    assert asyncio.run(scenario()).daemon


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::2", "2001:db8::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_host_has_a_whole_network_of_ipv6(address, expected):
    assert neighbourhood(address) == expected
