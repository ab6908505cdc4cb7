"""Channels as the page shows them: where each lives, and which callers follow it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ...channel import Channel
from ...errors import ChannelInvalid
from ...rules.model import Asked, plain_uri
from ...rules.places import Routing, place_of
from ..seen import Sighting
from ..stores.store import State

__all__ = ["ChannelView", "FollowerView", "channel_views", "matching"]

#: Callers shown of one channel; those that are behind come first.
MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class FollowerView:
    """`standing`: ``follows``, ``not yet`` or ``unknown``."""

    caller: str
    client_id: str
    intent: str
    generation: int | None
    at: str
    ago: str
    standing: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """`cluster` is empty where the rules name no place now."""

    uri: str
    cluster: str
    topic: str
    generation: int | None
    earlier: tuple[str, ...]
    followers: tuple[FollowerView, ...]
    total: int
    behind: int


def matching(state: State, seen: Iterable[str], find: str) -> list[str]:
    """The channels that moved or that somebody asked for, those with `find` in them."""
    moved = (plain_uri(move.channel) for move in state.rules.moves.values())
    return [uri for uri in dict.fromkeys((*moved, *seen)) if find.lower() in uri.lower()]


def channel_views(
    state: State, sightings: Mapping[str, list[Sighting]], now: float
) -> list[ChannelView]:
    """A view of each channel in `sightings`; `now`: seconds since the epoch."""
    return [_view(state, uri, found, now) for uri, found in sightings.items()]


def _view(state: State, uri: str, sightings: list[Sighting], now: float) -> ChannelView:
    try:
        channel = Channel.parse(uri)
    except ChannelInvalid:
        return ChannelView(uri, "", "", None, (), (), 0, 0)
    place = place_of(Routing.of(state.rules), Asked(channel), {})
    track = state.history.track(Asked(channel), {})
    followers = [_follower(state, channel, one, now) for one in sightings]
    followers.sort(key=lambda one: one.standing != "not yet")
    known = place is not None and place.target is not None
    return ChannelView(
        uri=uri,
        cluster=place.cluster.name if known and place is not None else "",
        topic=place.target.topic if place is not None and place.target is not None else "",
        generation=track.generation if track is not None else None,
        earlier=tuple(
            f"{one.place.target.topic} on {one.place.cluster.name}, until {_moment(one.left_at)}"
            for one in (track.previous if track is not None else ())
            if one.place.target is not None
        ),
        followers=tuple(followers[:MAX_SHOWN]),
        total=len(followers),
        behind=sum(one.standing == "not yet" for one in followers),
    )


def _follower(state: State, channel: Channel, one: Sighting, now: float) -> FollowerView:
    # Rules may send each asker to another place, so each has a generation of its own.
    asked = Asked(channel, one.caller, one.intent, one.client_id)
    track = state.history.track(asked, {})
    if track is None or one.generation is None:
        standing = "unknown"
    else:
        standing = "follows" if one.generation >= track.generation else "not yet"
    return FollowerView(
        caller=one.caller or "(nameless)",
        client_id=one.client_id,
        intent=one.intent,
        generation=one.generation,
        at=_moment(datetime.fromtimestamp(one.at, UTC)),
        ago=_ago(now - one.at),
        standing=standing,
    )


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
