"""The schedule behind every cache."""

import gc
import threading
import time

from kafkaroute.catalog.cache.refresher import Refresher
from kafkaroute.testing.scripted_catalog import FakeClock


class Recorder:
    def __init__(self, refresher):
        self.refresher = refresher
        self.due = []
        self.worked = []
        self.on_work = lambda: None

    def on_due(self, key, due):
        self.due.append((key, due))
        self.refresher.submit(self)

    def work(self):
        self.worked.append(threading.current_thread().name)
        self.on_work()

    def after_fork_in_child(self):
        """Nothing to replace."""


def test_due_times_are_kept_in_order():
    clock = FakeClock(0)
    refresher = Refresher(clock, threads=False)
    owner = Recorder(refresher)
    for due in (30, 10, 20, 10):
        refresher.schedule(due, owner, f"k{due}")
    refresher.run_pending()
    assert owner.due == []
    clock.advance(20)
    refresher.run_pending()
    assert owner.due == [("k10", 10), ("k10", 10), ("k20", 20)]
    assert len(owner.worked) == 3
    assert refresher.next_due() == 30


def test_forget_drops_one_owner_only():
    clock = FakeClock(0)
    refresher = Refresher(clock, threads=False)
    one, two = Recorder(refresher), Recorder(refresher)
    for owner in (one, two):
        refresher.schedule(1, owner, "k")
    refresher.forget(one)
    clock.advance(5)
    refresher.run_pending()
    assert (one.due, two.due) == ([], [("k", 1)])


def test_an_owner_that_is_gone_is_passed_over():
    clock = FakeClock(0)
    refresher = Refresher(clock, threads=False)
    owner = Recorder(refresher)
    refresher.schedule(1, owner, "k")
    del owner
    gc.collect()
    clock.advance(5)
    refresher.run_pending()
    assert refresher.next_due() is None


def test_an_earlier_due_time_wakes_the_thread():
    refresher = Refresher()
    owner = Recorder(refresher)
    done = threading.Event()
    owner.on_work = done.set
    refresher.schedule(time.monotonic() + 3600, owner, "late")
    time.sleep(0.1)  # until the thread sleeps
    refresher.schedule(time.monotonic() + 0.05, owner, "soon")
    assert done.wait(20)
    assert [key for key, _ in owner.due] == ["soon"]
    refresher.forget(owner)


def test_owners_that_fail_do_not_end_the_threads(caplog):
    refresher = Refresher()
    bad, good = Recorder(refresher), Recorder(refresher)

    def fail():
        raise RuntimeError("work")

    bad.on_work = fail
    done = threading.Event()
    good.on_work = done.set
    refresher.schedule(time.monotonic(), bad, "k")
    refresher.schedule(time.monotonic() + 0.1, good, "k")
    assert done.wait(20)
    assert "background work failed for Recorder" in caplog.text


def test_workers_run_at_once_and_are_bounded():
    refresher = Refresher()
    owner = Recorder(refresher)
    gate = threading.Event()
    owner.on_work = lambda: gate.wait(60)
    for _ in range(100):
        refresher.submit(owner)
    end = time.monotonic() + 20
    while len(owner.worked) < 32 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(owner.worked) == 32
    gate.set()
    while len(owner.worked) < 100 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(owner.worked) == 100


def test_planning_100_000_due_times_is_quick():
    refresher = Refresher(FakeClock(0), threads=False)
    owner = Recorder(refresher)
    started = time.thread_time()
    for number in range(100_000):
        refresher.schedule(1 + number * 7919 % 100_000, owner, "k")
    assert time.thread_time() - started < 5
