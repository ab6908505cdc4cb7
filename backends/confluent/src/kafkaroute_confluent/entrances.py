"""The way from native code into Python, for callbacks that it calls from inside poll() or flush().

A signal's handler runs where Python code goes on: in a callback's first instruction, before any
``try`` of it. What the handler raised leaves through native code, and confluent-kafka (2.16) under
Python 3.11 makes a SystemError of what ``sys.exit()`` or Ctrl-C raises there: it takes an
exception apart that has no instance yet. The same becomes of a callback's KeyError. So native code finds each
callback by a property that a generator computes: resumed inside its ``try``, it has the handlers
run first and sees what they raise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from operator import attrgetter
from threading import local
from typing import Any

__all__ = ["Entrance", "reraise"]


def reraise(error: BaseException) -> Any:
    """Raise `error`, which has an instance by now."""
    raise error


def _steps(
    callback: Callable[..., Any], failed: Callable[[BaseException], Any]
) -> Generator[Callable[..., Any], object, None]:
    """Yields what native code is to call, each time that it asks."""
    chosen = callback
    while True:
        try:
            while True:
                yield chosen
                chosen = callback
        except GeneratorExit:
            return
        except BaseException as error:
            chosen = partial(_failed, failed, error)


def _failed(failed: Callable[[BaseException], Any], error: BaseException, *_: Any) -> Any:
    """Called with what the callback would have got."""
    return failed(error)


class _OfThread(local):
    """The generator of each thread: two threads must not resume one."""

    def __init__(
        self, callback: Callable[..., Any], failed: Callable[[BaseException], Any]
    ) -> None:
        steps = _steps(callback, failed)
        next(steps)
        # Only a property is called without Python code in between, and it belongs to a class.
        self.steps = type("Steps", (), {"current": property(steps.send)})()


class Entrance:
    """What native code is given in place of `callback`.

    Args:
        callback: called with what native code passes.
        failed: called with what `callback` or a signal's handler raised; answers for it.
    """

    __slots__ = ("_of_thread",)

    def __init__(
        self, callback: Callable[..., Any], failed: Callable[[BaseException], Any] = reraise
    ) -> None:
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except BaseException as error:
                return failed(error)

        self._of_thread = _OfThread(guarded, failed)

    __call__ = property(attrgetter("_of_thread.steps.current"))
    #: An object with this method is a logger.
    log = __call__
