"""``/`` in a browser: channels, who follows their moves, a resolve box, clusters, profiles."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...channel import Channel
from ...errors import ChannelInvalid
from ..http import Header, Request, Response, problem
from ..seen import SeenCallers, Sighting
from ..sightings import Sightings
from ..stores.store import RulesStore
from .channels import channel_views, matching
from .resolving import Resolving
from .rules_view import cluster_views, profile_views

__all__ = ["Page", "wants_page"]

#: Channels on one page.
PER_PAGE = 25
_HTML: Header = (b"content-type", b"text/html; charset=utf-8")


def wants_page(request: Request) -> bool:
    """A browser's question; one with a channel is the contract's, whoever asks."""
    if b"text/html" not in request.headers.get(b"accept", b""):
        return False
    names = {name for name, _ in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)}
    return not any(name == "config_profile" or name.startswith("channel") for name in names)


class Page:
    """For admins; and for everybody where the rules name no callers, for then there is nobody
    whom it could be kept from."""

    def __init__(self, store: RulesStore, seen: SeenCallers, sightings: Sightings) -> None:
        self._store = store
        self._seen = seen
        self._sightings = sightings

    async def shown(self, request: Request) -> Response:
        state = self._store.state
        assert state is not None, "who asks was found in it"
        assert request.identity is not None
        if not (request.identity.admin or state.rules.open_to_all):
            return problem(403, "This page needs a caller who is an admin in the rules")
        fields = dict(parse_qsl(request.query.decode("utf-8", "replace"), keep_blank_values=True))
        find = fields.get("find", "").strip()
        found = matching(state, self._seen.channels(), find)
        number = min(_number(fields.get("page", "1")), max(1, -(-len(found) // PER_PAGE)))
        shown = found[(number - 1) * PER_PAGE : number * PER_PAGE]
        sightings = {uri: await self._recent(uri) for uri in shown}
        now = time.time()
        resolving = Resolving.of(fields, state, request.identity.name)

        def render() -> str:
            return (
                _environment()
                .get_template("page.html")
                .render(
                    who=request.identity.name if request.identity is not None else None,
                    name=self._store.name,
                    version=state.version,
                    problems=self._store.health().problems,
                    find=find,
                    channels=channel_views(state, sightings, now),
                    total=len(found),
                    page=number,
                    pages=max(1, -(-len(found) // PER_PAGE)),
                    resolving=resolving,
                    result=resolving.result(),
                    clusters=cluster_views(state.rules),
                    profiles=profile_views(state.rules),
                    callers=sorted(state.rules.callers),
                )
            )

        body = await asyncio.to_thread(render)
        return Response(200, body.encode(), (_HTML, *_protecting()))

    async def _recent(self, uri: str) -> list[Sighting]:
        try:
            return await self._sightings.recent(Channel.parse(uri))
        except ChannelInvalid:  # an answer never spoke of it
            return []


def _number(text: str) -> int:
    return max(1, int(text)) if text.isdecimal() and len(text) < 9 else 1


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kafkaroute.server", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = _style()
    return environment


@cache
def _style() -> Any:
    from markupsafe import Markup

    text = files("kafkaroute.server.pages").joinpath("style.css").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # the package's own file


@cache
def _protecting() -> tuple[Header, ...]:
    """Nothing from elsewhere, no script, no frame; and no copy of it anywhere."""
    digest = base64.b64encode(hashlib.sha256(str(_style()).encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Authorization"),
    )
