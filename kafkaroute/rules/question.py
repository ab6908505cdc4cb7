"""A question to the catalog, out of the query parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..channel import Channel
from ..errors import ChannelInvalid
from .model import Asked

__all__ = ["Question", "QuestionRefused", "question_from"]

#: Characters of one query parameter, name or value: what expressions are matched against, and what
#: an answer may repeat. Topics have 249 at most. Longer ones are left out, as unknown ones are.
MAX_TEXT = 1_000
_NUMBERED = re.compile(r"channel\[([0-9]{1,6})\]")
_MISSING = "config_profile and channel query parameters are required"
_TOO_LONG = f"A channel has at most {MAX_TEXT} characters"
_BAD_CHANNEL = "Invalid channel URL"
_TWO_HOSTS = "All channels must have the same scheme and host"
_BAD_PATTERN = "A pattern channel ends with /*, has no other *, stands alone and is for consuming"
#: Prefixes of query parameters that are matched against tags.
_CLUSTER_TAG = "kafka."
_PROFILE_TAG = "config_profile."


class QuestionRefused(Exception):
    """What cannot be answered: an HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Question:
    """
    Attributes:
        pattern: the one channel is a pattern, such as ``kafka://example.com/orders/*``.
    """

    profile: str
    channels: tuple[Channel, ...]
    pattern: bool
    cluster_tags: Mapping[str, str]
    profile_tags: Mapping[str, str]
    caller: str = ""
    intent: str = ""
    client_id: str = ""

    def asked(self, channel: Channel) -> Asked:
        return Asked(channel, self.caller, self.intent, self.client_id)


def question_from(caller: str | None, query: Iterable[tuple[str, str]]) -> Question:
    """The question in decoded query parameters.

    Raises:
        QuestionRefused: it is none.
    """
    named: dict[str, list[str]] = {}
    for name, value in query:
        if len(value) > MAX_TEXT and name.startswith("channel"):
            raise QuestionRefused(400, _TOO_LONG)
        if len(name) > MAX_TEXT or len(value) > MAX_TEXT:
            continue  # nothing that rules could ask for
        named.setdefault(name, []).append(value)
    single = named.get("channel", [])
    numbered = {
        int(match.group(1)): values
        for name, values in named.items()
        if (match := _NUMBERED.fullmatch(name))
    }
    profiles = [value for value in named.get("config_profile", ()) if value]
    if not profiles or not (single or numbered):
        raise QuestionRefused(400, _MISSING)
    if len(set(profiles)) > 1:
        raise QuestionRefused(400, "config_profile is given more than once")
    if len(single) > 1 or any(len(values) > 1 for values in numbered.values()):
        raise QuestionRefused(
            400, "A channel is given more than once: use channel[0], channel[1], ..."
        )
    if single and numbered:
        raise QuestionRefused(400, "Use either channel or channel[0], channel[1], ...")
    texts = single or [numbered[number][0] for number in sorted(numbered)]
    channels = tuple(_channel(text) for text in texts)
    if len({(channel.scheme, channel.host) for channel in channels}) > 1:
        raise QuestionRefused(400, _TWO_HOSTS)
    intent = named.get("intent", [""])[0]
    return Question(
        profile=profiles[0],
        channels=channels,
        pattern=_is_pattern(channels, intent),
        cluster_tags=_asked_tags(named, _CLUSTER_TAG),
        profile_tags=_asked_tags(named, _PROFILE_TAG),
        caller=caller or "",
        intent=intent,
        client_id=named.get("client_id", [""])[0],
    )


def _is_pattern(channels: Sequence[Channel], intent: str) -> bool:
    stars = sum(segment.count("*") for channel in channels for segment in channel.path)
    if stars == 0:
        return False
    if stars > 1 or channels[0].key != "*" or len(channels) > 1 or intent == "produce":
        raise QuestionRefused(400, _BAD_PATTERN)
    return True


def _asked_tags(named: Mapping[str, Sequence[str]], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): values[0]
        for name, values in named.items()
        if name.startswith(prefix)
    }


def _channel(text: str) -> Channel:
    try:
        return Channel.parse(text)
    except ChannelInvalid:
        raise QuestionRefused(400, _BAD_CHANNEL) from None
