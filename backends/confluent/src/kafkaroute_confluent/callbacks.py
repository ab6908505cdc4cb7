"""Callbacks of the application that librdkafka calls while it hands over messages.

An exception that leaves such a callback makes confluent-kafka throw away the messages that the same
call has taken from librdkafka already. So it is kept until they are safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafkaroute.backend.settings_keys import ConfigValue

from .entrances import Entrance, reraise

__all__ = ["Kept", "entered"]

#: Settings of confluent-kafka that hold a callback. `oauth_cb` is not one of these: what it raises
#: is an answer.
_CALLBACKS = ("error_cb", "stats_cb", "throttle_cb", "on_commit")


def entered(
    config: Mapping[str, ConfigValue], failed: Callable[[BaseException], Any] = reraise
) -> dict[str, Any]:
    """`config` with callbacks that hand what they raise to `failed`; delivery reports are not among
    them, for speed (kafkaroute's own take care of it)."""
    entrances = {
        key: Entrance(config[key], failed)  # type: ignore[arg-type]  # asked in the next line
        for key in _CALLBACKS
        if callable(config.get(key))
    }
    return {**config, **entrances}


class Kept:
    """Keeps the first exception of callbacks for who called the native client."""

    __slots__ = ("failure",)

    def __init__(self) -> None:
        self.failure: BaseException | None = None

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """`callback`, which never raises."""
        return Entrance(callback, self.keep)

    def keep(self, error: BaseException) -> None:
        """`error` was raised inside of the native call."""
        # A second one would be lost in the native client as well.
        self.failure = self.failure or error

    def settings(self, config: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
        """`config` with its callbacks guarded."""
        return entered(config, self.keep)

    def raise_kept(self) -> None:
        """Raise what was kept, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
