"""Profiles as the installed backends see them: settings that no client would be made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from ..backend.settings_check import names_a_file
from ..backend.settings_keys import ALIASES, ConfigValue, canonical_key
from ..errors import ConfigurationError, KafkaException
from .model import Rules, Value
from .yaml_nodes import Node

__all__ = ["ChecksSettings", "check_profiles"]

#: Stand in for what the cluster and the credentials give; nobody connects to them.
_ELSEWHERE: Mapping[str, Value] = {
    "bootstrap.servers": "127.0.0.1:9",
    "sasl.mechanisms": "PLAIN",
    "sasl.username": "check",
    "sasl.password": "check",
}


class ChecksSettings(Protocol):
    """A backend, as far as it is needed here."""

    @property
    def name(self) -> str: ...

    def check_config(self, config: Mapping[str, ConfigValue], *, consumer: bool) -> None:
        """Raises ConfigurationError or KafkaException for what no client is made with."""


Tell = Callable[[Node, str], None]


def check_profiles(
    root: Node, rules: Rules, backends: Sequence[ChecksSettings], problem: Tell, warn: Tell
) -> None:
    """Have each of `backends` look into the profiles.

    A setting that all of them refuse, for a producer or for a consumer, is a problem; one that only
    some refuse is a warning that names them. No file is opened and no client connects.
    """
    if not backends:
        return
    nodes = dict(root.entries())["profiles"].items()
    for node, profile in zip(nodes, rules.profiles, strict=True):
        children = dict(dict(node.entries())["settings"].entries())
        refused: dict[str, dict[str, str]] = {}
        for backend in backends:
            for key, why in _refusals(backend, profile.settings):
                refused.setdefault(key, {})[backend.name] = why
        for key, reasons in refused.items():
            if len(reasons) == len(backends):
                problem(children[key], max(reasons.values(), key=_helps))
            else:
                for name, why in reasons.items():
                    warn(children[key], f"the {name} backend refuses it: {why}")


def _helps(text: str) -> bool:
    return "did you mean" in text


def _refusals(backend: ChecksSettings, settings: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    """Each setting that `backend` refuses beside the others, and why."""
    left = {key: value for key, value in settings.items() if not names_a_file(canonical_key(key))}
    while (why := _first_refusal(backend, left)) is not None:
        named = _named_in(why, left)
        if named is None:
            return  # about what the cluster, the credentials or the application give
        yield named, why
        del left[named]


def _first_refusal(backend: ChecksSettings, settings: Mapping[str, Value]) -> str | None:
    own = {canonical_key(key): value for key, value in settings.items()}
    for consumer in (False, True):
        config: dict[str, ConfigValue] = {**_ELSEWHERE, **own}
        if consumer:
            config.setdefault("group.id", "check")
        try:
            backend.check_config(config, consumer=consumer)
        except (ConfigurationError, KafkaException) as error:
            return " ".join(str(error).split())
    return None


def _named_in(text: str, settings: Mapping[str, Value]) -> str | None:
    """The setting, in the spelling of the profile, that `text` is about."""
    spellings = {canonical: alias for alias, canonical in ALIASES.items()}
    found: dict[str, str] = {}
    for key in settings:
        canonical = canonical_key(key)
        for name in (key, canonical, spellings.get(canonical, key)):
            if name in text:
                found[name] = key
    return found[max(found, key=len)] if found else None
