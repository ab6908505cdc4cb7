"""Turns: a lock that a looping poller shares."""

import statistics
import threading
import time

from kafkaroute.consumer.fair_lock import Turns


def test_mutual_exclusion():
    turns = Turns()
    inside = []
    overlaps = []

    def work():
        for _ in range(200):
            with turns:
                inside.append(1)
                if len(inside) > 1:
                    overlaps.append(1)
                inside.pop()
            turns.step_aside()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert not overlaps


def test_reentrant():
    turns = Turns()
    with turns, turns, turns:
        pass
    entered = threading.Event()

    def other():
        with turns:
            entered.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(5)
    thread.join(5)


def test_a_waiting_thread_goes_before_a_poller_that_loops():
    turns = Turns()
    stop = threading.Event()
    rounds = 0

    def poll_for_ever():
        nonlocal rounds
        while not stop.is_set():
            rounds += 1
            with turns:
                time.sleep(0.03)
            turns.step_aside()

    poller = threading.Thread(target=poll_for_ever)
    poller.start()
    waits = []
    for _ in range(20):
        before = rounds
        while rounds == before:
            time.sleep(0.001)
        before = rounds
        with turns:
            waits.append(rounds - before)
    stop.set()
    poller.join(5)
    assert statistics.median(waits) < 1, waits


def test_stepping_aside_alone_costs_no_time():
    turns = Turns()
    took = []
    for _ in range(20):
        began = time.monotonic()
        for _ in range(50):
            turns.step_aside()
        took.append(time.monotonic() - began)
    assert min(took) < 0.005, took


def test_stepping_aside_is_bounded():
    """The waiter cannot come: somebody else holds the lock."""
    turns = Turns()
    holding, release = threading.Event(), threading.Event()

    def hold():
        with turns:
            holding.set()
            release.wait(60)

    def wait():
        with turns:
            pass

    holder, waiter = threading.Thread(target=hold), threading.Thread(target=wait)
    holder.start()
    assert holding.wait(5)
    waiter.start()
    while not turns._waiting:
        time.sleep(0.001)
    began = time.monotonic()
    turns.step_aside()
    took = time.monotonic() - began
    release.set()
    holder.join(5)
    waiter.join(5)
    assert 0.9 < took < 30


def test_released_after_an_exception():
    turns = Turns()
    try:
        with turns:
            raise RuntimeError("x")
    except RuntimeError:
        pass
    done = []
    thread = threading.Thread(
        target=lambda: (turns.__enter__(), done.append(1), turns.__exit__(None, None, None))
    )
    thread.start()
    thread.join(5)
    assert done
