"""``/v1/moves``: look at a channel's callers, and move it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from ..channel import Channel
from ..errors import ChannelInvalid, ConfigurationError
from ..rules.answer import credentials_of
from ..rules.edit import with_move
from ..rules.loader import parse_rules
from ..rules.model import Asked, Cluster, Rules, Target, plain_uri, valid_topic
from ..rules.places import Place, Routing, place_of, same_place
from .http import Refused, Request, Response, answered, problem
from .seen import Sighting
from .sightings import Sightings
from .stores.store import NotWritable, RulesStore, State, VersionConflict

__all__ = ["Moves"]

_log = logging.getLogger("kafkaroute.server")
_KEYS = {"channel", "cluster", "topic", "start_at", "dry_run", "note"}
MAX_NOTE = 500


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the body of a POST asks for."""

    channel: Channel
    cluster: str | None
    topic: str | None
    start_at: str | None
    dry_run: bool
    note: str


class Moves:
    def __init__(self, store: RulesStore, sightings: Sightings) -> None:
        self._store = store
        self._sightings = sightings

    async def shown(self, request: Request) -> Response:
        """All moves in force; with ``?channel=``: where it lives and who asked for it lately."""
        state = self._state()
        named = parse_qs(request.query.decode("latin-1"))
        if "channel" not in named:
            found = [
                {"channel": plain_uri(move.channel), **_spot(move.cluster, move.target)}
                for move in state.rules.moves.values()
            ]
            return answered(200, {"version": state.version, "moves": found})
        channel = _channel(named["channel"][0])
        place = _now(state.rules, channel)
        return answered(
            200,
            {
                "channel": plain_uri(channel),
                "at": _described(state, channel, place),
                "callers": [_caller(one) for one in await self._sightings.recent(channel)],
            },
        )

    async def made(self, request: Request) -> Response:
        """Move a channel; with ``dry_run``, say what that would mean."""
        wish = _wish(request.body)
        state = self._state()
        before = _now(state.rules, wish.channel)
        after = _wanted(state.rules, wish, before)
        callers = await self._sightings.recent(wish.channel)
        body: dict[str, Any] = {
            "channel": plain_uri(wish.channel),
            "dry_run": wish.dry_run,
            "from": _described(state, wish.channel, before),
            "to": _spot(after.cluster.name, after.target),
            "callers": [_caller(one) for one in callers],
            "warnings": _warnings(state.rules, after.cluster, callers),
        }
        request.notes["move"] = {key: body[key] for key in ("channel", "dry_run", "from", "to")}
        if same_place(before, after):
            return answered(200, {**body, "changed": False})
        edit = _Edit(wish, after)
        try:
            if wish.dry_run:
                await asyncio.to_thread(lambda: parse_rules(edit(state.text), "the moved rules"))
            else:
                author = request.identity.name if request.identity is not None else None
                state = await asyncio.to_thread(
                    self._store.change, edit, author=author or "", note=wish.note
                )
        except NotWritable as error:
            return problem(409, str(error))
        except VersionConflict as error:
            return problem(409, str(error), (b"retry-after", b"1"))
        except ConfigurationError as error:
            return problem(409, f"The rules would not be sound: {error}")
        if not wish.dry_run:
            _log.info("%s moved to %s on cluster %s", wish.channel, edit.topic, after.cluster.name)
            body["to"] = _described(state, wish.channel, after)
        return answered(200, {**body, "changed": not wish.dry_run, "version": state.version})

    def _state(self) -> State:
        state = self._store.state
        assert state is not None, "who asks was found in it"
        return state


class _Edit:
    """Writes the move into a document; without an entry where the rules say the same."""

    def __init__(self, wish: _Wish, after: Place) -> None:
        assert after.target is not None
        self._wish = wish
        self._after = after
        self.topic = after.target.topic

    def __call__(self, text: str) -> str:
        channel = self._wish.channel
        plain = with_move(text, channel, None) if self._has_moves(text) else text
        place = place_of(Routing.of(parse_rules(plain)), Asked(channel), {})
        if place is not None and place.target is not None and self._wish.start_at is None:
            spot = (place.cluster.name, place.target.topic)
            if spot == (self._after.cluster.name, self.topic):
                return plain
        entry = {
            "cluster": self._after.cluster.name,
            "topic": self.topic,
            **({"start_at": self._wish.start_at} if self._wish.start_at is not None else {}),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return with_move(text, channel, entry)

    def _has_moves(self, text: str) -> bool:
        return bool(parse_rules(text).moves)


def _refused(message: str, status: int = 400) -> Refused:
    return Refused(problem(status, message))


def _channel(text: object) -> Channel:
    try:
        channel = Channel.parse(text)  # type: ignore[arg-type]  # it says so itself
    except ChannelInvalid as error:
        raise _refused(f"Invalid channel URL: {error}") from None
    if any("*" in segment for segment in channel.path):
        raise _refused("Channels are moved one by one, not by a pattern")
    return channel


def _is_text(texts: Iterable[object]) -> bool:
    """Whether stores can hold all the strings among them."""
    try:
        whole = "".join(text for text in texts if isinstance(text, str))
        whole.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in whole


def _asked(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, of known keys."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _refused("The body is no JSON") from None
    if not isinstance(found, dict) or "channel" not in found:
        raise _refused('Expected an object such as {"channel": …, "cluster": …, "topic": …}')
    if not _is_text((*found, *found.values())):
        raise _refused("The body holds a character that is none (a lone surrogate, or NUL)")
    if unknown := sorted(found.keys() - _KEYS):
        raise _refused(f"Unknown: {', '.join(unknown)}; known: {', '.join(sorted(_KEYS))}")
    return found


def _wish(body: bytes) -> _Wish:
    found = _asked(body)
    for key in ("cluster", "topic", "start_at", "note"):
        if not isinstance(found.get(key, ""), str):
            raise _refused(f"{key!r} is no string")
    dry_run = found.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise _refused("'dry_run' is true or false")
    wish = _Wish(
        _channel(found["channel"]),
        found.get("cluster"),
        found.get("topic"),
        found.get("start_at"),
        dry_run,
        found.get("note", ""),
    )
    if wish.cluster is None and wish.topic is None:
        raise _refused("A move names a cluster, a topic or both")
    if wish.topic is not None and not valid_topic(wish.topic):
        raise _refused("'topic' is no topic name")
    if len(wish.note) > MAX_NOTE:
        raise _refused(f"A note has at most {MAX_NOTE} characters")
    return wish


def _now(rules: Rules, channel: Channel) -> Place:
    place = place_of(Routing.of(rules), Asked(channel), {})
    if place is None or place.target is None:
        raise _refused("The rules name no topic for this channel", 404)
    return place


def _wanted(rules: Rules, wish: _Wish, before: Place) -> Place:
    assert before.target is not None
    cluster = before.cluster
    if wish.cluster is not None:
        named = {cluster.name: cluster for cluster in rules.clusters}
        if wish.cluster not in named:
            raise _refused(f"No cluster is named {wish.cluster!r}", 404)
        cluster = named[wish.cluster]
    lacking = sorted(before.cluster.tags.items() - cluster.tags.items())
    if lacking:
        # Who asks by such a tag would be answered as if there were no move.
        tags = ", ".join(f"{name}: {value}" for name, value in lacking)
        raise _refused(f"The cluster {cluster.name} lacks the tags {tags}", 409)
    return Place(cluster, Target(wish.topic or before.target.topic, wish.start_at))


def _spot(cluster: str, target: Target | None) -> dict[str, Any]:
    assert target is not None
    return {"cluster": cluster, "topic": target.topic}


def _described(state: State, channel: Channel, place: Place) -> dict[str, Any]:
    track = state.history.track(Asked(channel), {})
    generation = {} if track is None else {"generation": track.generation}
    return {**_spot(place.cluster.name, place.target), **generation}


def _caller(one: Sighting) -> Mapping[str, Any]:
    return {
        "caller": one.caller,
        "client_id": one.client_id,
        "intent": one.intent,
        "generation": one.generation,
        "at": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds"),
    }


def _warnings(rules: Rules, cluster: Cluster, callers: list[Sighting]) -> list[str]:
    if rules.credentials is None:
        return []
    return [
        f"{name or 'everybody'} has no credentials on the cluster {cluster.name}"
        for name in sorted({one.caller for one in callers})
        if credentials_of(rules, name or None, cluster) is None
    ]
