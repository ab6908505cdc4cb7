"""Forked children."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable

import pytest

from .kit import PATIENCE, Kit, Reports

__all__ = ["ProcessTests"]

_CHILD_PATIENCE = 30.0


def _fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; returns its pid. The child never returns."""
    with warnings.catch_warnings():
        # Python 3.12 and newer warn of forks beside threads, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _await_child(pid: int) -> None:
    deadline = time.monotonic() + _CHILD_PATIENCE
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0, "the child failed; see stderr"
            return
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail(f"the child did not end within {_CHILD_PATIENCE:.0f} s")
        time.sleep(0.02)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork()")
class ProcessTests:
    def test_child_opens_a_client_of_its_own(self, kit: Kit) -> None:
        topic = kit.topic(2)
        producer = kit.producer()
        send = producer.sender(topic)
        send(b"parent before", None, 0)
        assert producer.flush(PATIENCE) == 0

        def produce_in_child() -> None:
            own = kit.backend.open_producer(kit.config())
            reports = Reports()
            own.sender(topic)(b"child", None, 1, reports)
            assert own.flush(PATIENCE) == 0
            assert reports.codes == [None]
            own.close(1.0)

        child = _fork(produce_in_child)
        send(b"parent after", None, 0)
        assert producer.flush(PATIENCE) == 0
        _await_child(child)
        values = [message.value() for message in kit.read_all(topic, 3, (0, 1))]
        assert sorted(value or b"" for value in values) == [
            b"child",
            b"parent after",
            b"parent before",
        ]

    def test_child_consumes_while_the_parent_goes_on(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"1", b"2"])
        consumer = kit.reader(topic)
        assert kit.read(consumer, 1)[0].value() == b"1"

        def consume_in_child() -> None:
            own = Kit(kit.backend, kit.cluster, kit.settings)
            reader = own.reader(topic)
            assert [message.value() for message in own.read(reader, 2)] == [b"1", b"2"]
            own.close()

        child = _fork(consume_in_child)
        assert kit.read(consumer, 1)[0].value() == b"2"
        _await_child(child)
        kit.write(topic, [b"3"])
        assert kit.read(consumer, 1)[0].value() == b"3"
