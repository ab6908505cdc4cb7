"""What an application configures: in code, in the environment, in a TOML file.

What the code gives wins over the environment, the environment over the file.

Environment: every field as ``KAFKAROUTE_<NAME>`` (``KAFKAROUTE_SERVICE_GATEWAY_URI``,
``KAFKAROUTE_BACKEND``, …); ``KAFKAROUTE_BASIC_AUTH`` is ``user:password``; tables
(``ADDITIONAL_PARAMS``, ``CLIENT_CONFIG``, ``OAUTH``, ``POLICY``) are JSON objects.
``KAFKAROUTE_CONFIG`` names the TOML file, ``KAFKAROUTE_PROFILE`` a profile in it.

File: top-level keys are defaults, ``[profiles.NAME]`` tables override them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .backend.settings_keys import ConfigValue, canonical_key, is_callback_key
from .errors import ConfigurationError
from .oauth import OAuth
from .policy import Policy

if TYPE_CHECKING:
    from .events import RouteChange

__all__ = ["Settings"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_PREFIX = "KAFKAROUTE_"
#: Keys of the environment and of the dict that say where the rest is read from.
_SOURCES = ("config", "profile")
#: Greedy, because a password may hold an @ of its own.
_USER_INFO = re.compile(r"//[^/]*@")


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings of one Producer or Consumer.

    Attributes:
        service_gateway_uri: the catalog: ``http://…``, ``https://…`` or ``file:…``. Required.
        basic_auth: (user, password) for the catalog.
        oauth: instead of it: how to get tokens; see :class:`kafkaroute.oauth.OAuth`.
        client_id: becomes ``client.id``; wins over everything else.
        config_profile: name of the configuration profile asked for.
        ttl: seconds a route is fresh (an answer's ``Cache-Control`` overrides it).
        additional_params: further query parameters; nested keys are joined by dots.
        backend: entry-point name, e.g. ``confluent-kafka``, ``kafka-python``.
        channels: channels that are looked up, and their clients made, when a Producer is made; a
            Consumer looks them up. What is wrong with them is raised there.
        timeout: total seconds for one question to the catalog, retries included.
        long_poll: seconds that a question in the background waits in the catalog for a change, so
            that it is seen at once; None: changes are seen when the TTL is over.
        max_stale: seconds a route may be used while the catalog gives no better one; an answer may
            shorten them.
        max_ttl: seconds up to which an answer's ``max-age`` may lengthen `ttl`.
        client_config: librdkafka settings of the application; win over the catalog's.
        verify: check the catalog's TLS certificate: True, False or the path of a CA bundle.
        cert: client certificate for the catalog: path, or (certificate path, key path).
        policy: what an answer may set; see :class:`kafkaroute.policy.Policy`.
        snapshot: path of a file that keeps the last known routes for the next start.
        redeliver: messages that a move leaves undelivered follow the route (docs/moves.md).
        drain_timeout: seconds without progress after which an old place is no longer waited for.
        on_move: ``ordered`` (the new place is read when the old one is empty) or ``overlap``.
        move_window: seconds in which producers may still write to the old place; None is the
            answer's ``max-age``, else the larger of `ttl` and 300.
        move_linger: seconds without a late message after which the old place is no longer
            watched; None is the largest of 600, 10 `ttl`, and `max_stale` up to 3,600.
        on_move_start: where a group without offsets on the new place starts when the answer has
            no ``start_at``: ``beginning``, or ``timestamp`` (of the move) for mirrored topics.
        on_revoked: a channel that worked is refused (401, 403, 404): ``keep`` the last route up
            to `max_stale`, or ``stop`` at once.
        on_route_change: called with a :class:`kafkaroute.RouteChange` for each phase of each
            move; in code only.
    """

    service_gateway_uri: str
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    oauth: OAuth | None = field(default=None, repr=False)
    client_id: str | None = None
    config_profile: str | None = None
    ttl: float = 300.0
    additional_params: Mapping[str, Any] = field(default_factory=lambda: _EMPTY, repr=False)
    backend: str | None = None
    timeout: float = 5.0
    long_poll: float | None = None
    max_stale: float = 86_400.0
    max_ttl: float = 3600.0
    channels: tuple[str, ...] = ()
    client_config: Mapping[str, ConfigValue] = field(default_factory=lambda: _EMPTY, repr=False)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = field(default=None, repr=False)
    policy: Policy = field(default_factory=Policy)
    snapshot: str | None = None
    redeliver: bool = True
    drain_timeout: float = 5.0
    on_move: str = "ordered"
    move_window: float | None = None
    move_linger: float | None = None
    on_move_start: str = "beginning"
    on_revoked: str = "keep"
    on_route_change: Callable[[RouteChange], object] | None = field(
        default=None, repr=False, compare=False
    )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Settings:
        """Settings from `config` alone.

        Raises:
            ConfigurationError: unknown key (with the nearest one), missing key, wrong type.
        """
        settings = {key: _convert(key, value, "config") for key, value in config.items()}
        if "service_gateway_uri" not in settings:
            raise ConfigurationError("service_gateway_uri is missing in the config")
        return _checked(cls(**settings))

    @classmethod
    def load(
        cls,
        config: Mapping[str, Any] | Settings | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Settings from `config`, then the environment, then the TOML file.

        Args:
            config: the usual keys, plus ``config`` (path of a TOML file) and ``profile``.
            environ: instead of ``os.environ``.

        Raises:
            ConfigurationError: as :meth:`from_dict`, naming the source of the bad value.
        """
        if isinstance(config, Settings):
            return config
        code = dict(config or {})
        env = _from_environment(os.environ if environ is None else environ)
        sources = {name: env.pop(name, None) for name in _SOURCES}
        sources |= {name: value for name in _SOURCES if (value := code.pop(name, None))}
        path, profile = sources["config"], sources["profile"]
        merged: dict[str, Any] = {}
        if path is not None:
            for key, value in _from_file(str(path), profile).items():
                merged[key] = _convert(key, value, f"file {path}")
        elif profile is not None:
            raise ConfigurationError(f"profile {profile!r} is named, but no configuration file")
        for key, value in env.items():
            merged[key] = _convert(key, value, f"environment variable {_PREFIX}{key.upper()}")
        for key, value in code.items():
            merged[key] = _convert(key, value, "config")
        if not merged.get("service_gateway_uri"):
            raise ConfigurationError(
                "service_gateway_uri is missing: give it in the config, as "
                "KAFKAROUTE_SERVICE_GATEWAY_URI, or in the file named by KAFKAROUTE_CONFIG"
            )
        return _checked(cls(**merged))

    def __repr__(self) -> str:
        # The address may carry user:password@; the rest of what is secret is left out.
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.repr}
        shown["service_gateway_uri"] = _USER_INFO.sub("//***@", self.service_gateway_uri)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _checked(settings: Settings) -> Settings:
    """`settings`, whose values are in their ranges. Raises ConfigurationError otherwise."""
    for name in ("timeout", "ttl", "max_ttl", "drain_timeout"):
        if not 0 < (seconds := getattr(settings, name)) < inf:
            raise ConfigurationError(f"{name} must be above 0 seconds, not {seconds}")
    if not settings.max_stale >= 0:  # NaN, too
        raise ConfigurationError(f"max_stale must not be negative, not {settings.max_stale}")
    if settings.long_poll is not None and not 1 <= settings.long_poll <= 3600:
        raise ConfigurationError(f"long_poll must be 1 to 3600 seconds, not {settings.long_poll}")
    for name in ("move_window", "move_linger"):
        if (seconds := getattr(settings, name)) is not None and not 0 <= seconds < inf:
            raise ConfigurationError(f"{name} must not be negative, not {seconds}")
    if ":" not in settings.service_gateway_uri:
        raise ConfigurationError(
            "service_gateway_uri has no scheme: expected http://…, https://… or file:…"
        )
    return settings


_NAMES = tuple(f.name for f in fields(Settings))


def _unknown(key: str, source: str) -> ConfigurationError:
    if "." in key:
        hint = "; settings of the Kafka client go under client_config"
    else:
        near = difflib.get_close_matches(key, _NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_NAMES)}"
    return ConfigurationError(f"unknown setting {key!r} in {source}{hint}")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a non-empty string")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError("a number of seconds")
    try:
        return float(value)
    except ValueError:
        raise TypeError("a number of seconds") from None


def _table(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise TypeError("a JSON object") from None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError("a table with string keys")
    return MappingProxyType(dict(value))


def _channels(value: Any) -> tuple[str, ...]:
    named = value.split(",") if isinstance(value, str) else value
    if not isinstance(named, (tuple, list)) or not all(isinstance(one, str) for one in named):
        raise TypeError("a list of channels, or channel,channel in the environment")
    return tuple(one.strip() for one in named if one.strip())


def _pair(value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        user, colon, password = value.partition(":")
        value = (user, password) if colon else ()
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not all(isinstance(part, str) for part in value)
    ):
        raise TypeError("(user, password), or user:password in the environment")
    return (value[0], value[1])


def _client_config(value: Any) -> Mapping[str, ConfigValue]:
    table = _table(value)
    for key, item in table.items():
        if not (isinstance(item, (str, int, float, bool)) or callable(item)) and not (
            is_callback_key(key) and (item is None or hasattr(item, "log"))
        ):
            raise TypeError(f"strings, numbers, booleans or callables, which {key!r} is not")
    return MappingProxyType({canonical_key(key): item for key, item in table.items()})


def _verify(value: Any) -> bool | str:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise TypeError("true, false or the path of a CA bundle")
    return value


def _cert(value: Any) -> str | tuple[str, str]:
    if isinstance(value, (tuple, list)):
        if len(value) != 2 or not all(isinstance(part, str) for part in value):
            raise TypeError("a path, or (certificate path, key path)")
        return (value[0], value[1])
    return _text(value)


def _policy(value: Any) -> Policy:
    return value if isinstance(value, Policy) else Policy.from_dict(_table(value))


def _oauth(value: Any) -> OAuth:
    return value if isinstance(value, OAuth) else OAuth.from_dict(_table(value))


def _switch(value: Any) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower(), value)
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _one_of(*names: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in names:
            raise TypeError(" or ".join(map(repr, names)))
        return str(value)

    return convert


def _callable(value: Any) -> Any:
    if not callable(value):
        raise TypeError("a function, so it can be given in code only")
    return value


def _path(value: Any) -> str:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "service_gateway_uri": _text,
    "basic_auth": _pair,
    "oauth": _oauth,
    "client_id": _text,
    "config_profile": _text,
    "ttl": _seconds,
    "additional_params": _table,
    "backend": _text,
    "channels": _channels,
    "timeout": _seconds,
    "long_poll": _seconds,
    "max_stale": _seconds,
    "max_ttl": _seconds,
    "client_config": _client_config,
    "verify": _verify,
    "cert": _cert,
    "policy": _policy,
    "snapshot": _path,
    "redeliver": _switch,
    "drain_timeout": _seconds,
    "on_move": _one_of("ordered", "overlap"),
    "move_window": _seconds,
    "move_linger": _seconds,
    "on_move_start": _one_of("beginning", "timestamp"),
    "on_revoked": _one_of("keep", "stop"),
    "on_route_change": _callable,
}
_OPTIONAL = {f.name for f in fields(Settings) if f.default is None}


def _convert(key: str, value: Any, source: str) -> Any:
    converter = _CONVERTERS.get(key)
    if converter is None:
        raise _unknown(key, source)
    if value is None and key in _OPTIONAL:
        return None
    try:
        return converter(value)
    except TypeError as error:
        # The value stays out of the text: it may be a secret.
        raise ConfigurationError(f"{key} in {source} must be {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(_PREFIX):
            continue
        key = name[len(_PREFIX) :].lower()
        if key in _CONVERTERS or key in _SOURCES:
            found[key] = value
        elif not key.startswith(("test_", "require_")):
            raise _unknown(key, f"environment variable {name}")
    return found


def _from_file(path: str, profile: str | None) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib costs import time
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read the file {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the file {path} is not TOML: {error}") from None
    profiles = document.pop("profiles", {})
    if profile is not None:
        tables = profiles if isinstance(profiles, dict) else {}
        if not isinstance(tables.get(profile), dict):
            known = ", ".join(sorted(k for k, v in tables.items() if isinstance(v, dict))) or "none"
            raise ConfigurationError(f"no profile {profile!r} in {path}; profiles: {known}")
        document.update(tables[profile])
    return document
