"""New user name and password for a live client, where nothing else has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...backend.contract import Capability
from ...errors import KafkarouteError
from ...places import login_change
from ..client import Client, Home
from ..table import Table
from .journal import Change

__all__ = ["replace_credentials"]

_log = logging.getLogger("kafkaroute.moves")


def replace_credentials(
    table: Table, client: Client, changes: list[Change], empty: Callable[[], object]
) -> bool:
    """Do it, if that is all there is to `changes` and they are all that `client` sends; else False.

    Args:
        empty: takes everything from the client: called, with the client held, where messages have
            failed, as the client would deliver younger ones first.
    """
    place = changes[0].place
    login = _login_of_all(table, client, changes)
    if login is None:
        return False
    if client.tracked:
        _hear_of_failures(client)
    with table.locked():
        failed = client.reports.waiting() > 0
        if failed:
            table.doubt(client)
    if failed:
        empty()
    try:
        client.native.set_sasl_credentials(*login)
    except KafkarouteError as error:
        _log.warning("a client refuses new credentials, and is replaced: %s", error)
        return False
    with table.locked():
        if not table.relocate(client, place):
            return False  # a channel's first message opened it meanwhile
        for change in changes:
            table.renew(change.channel, Home(client, change.new))
    return True


def _login_of_all(table: Table, client: Client, changes: list[Change]) -> tuple[str, str] | None:
    """The new login, where that is all there is to `changes`, and they are all of the client's."""
    router, place = table.router, changes[0].place
    if any(c.place != place or c.old.topic != c.new.topic for c in changes):
        return None
    login = login_change(client.place, place)
    if login is None or not router.supports(place, Capability.SET_SASL_CREDENTIALS):
        return None
    with table.locked():
        here = set(table.channels_of(client))
        alone = router.peek(place) is None and here == {change.channel for change in changes}
        return login if alone else None


def _hear_of_failures(client: Client) -> None:
    """What the old password has failed is collected (see Doubts), also when nobody polls."""
    client.reports.divert(1)
    try:
        client.native.poll(0)
    except KafkarouteError as error:
        _log.warning("a client with old credentials: %s", error)
    finally:
        client.reports.divert(-1)
