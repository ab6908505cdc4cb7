"""Canonical settings, checked and typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from kafkaroute.backend.settings_check import unfit_setting
from kafkaroute.backend.settings_keys import ALIASES, ConfigValue, boolean_of, canonical_key

from .refusals import FeatureRefused, SettingRefused
from .settings_table import CONFLUENT_ONLY, SETTINGS, Handling, Setting

__all__ = ["Settings", "read_settings"]

_NAME = "kafka-python backend"


class Settings:
    """The settings of one client: what was given, and librdkafka's defaults for the rest."""

    __slots__ = ("_given",)

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    def __getitem__(self, key: str) -> Any:
        if key in self._given:
            return self._given[key]
        return SETTINGS[key].default

    def __contains__(self, key: object) -> bool:
        return key in self._given

    def get(self, key: str, default: Any = None) -> Any:
        value = self[key]
        return default if value is None else value

    def int(self, key: str) -> int:
        value = self[key]
        assert isinstance(value, int)
        return value

    def given(self) -> Mapping[str, Any]:
        return self._given

    def __repr__(self) -> str:
        # Values may be secret; which keys are set is not.
        return f"<Settings {sorted(self._given)}>"


def read_settings(config: Mapping[str, ConfigValue], *, consumer: bool) -> Settings:
    """Check `config` against the table.

    Keys of the other kind of client are ignored, as librdkafka does.

    Raises:
        ConfigurationError: an unknown key (with the nearest known one), or a wrong value.
        UnsupportedFeature: a key that kafka-python has no equal for, not at its default.
    """
    if (wrong := unfit_setting(config)) is not None:
        raise SettingRefused(wrong)
    given: dict[str, Any] = {}
    for raw, value in config.items():
        key = canonical_key(raw)
        key = CONFLUENT_ONLY.get(key, key)
        setting = SETTINGS.get(key)
        if setting is None:
            raise SettingRefused(_unknown(raw))
        if value is None:
            continue
        typed = _convert(raw, value, setting)
        if setting.scope == ("P" if consumer else "C"):
            continue
        if setting.handling is Handling.DEFAULT_ONLY and not _is_default(setting, typed):
            shown = "" if setting.kind in {"secret", "callable"} else f"={typed}"
            raise FeatureRefused(f"the {_NAME} cannot honour {raw}{shown}")
        given[key] = typed
    return Settings(given)


def _is_default(setting: Setting, value: Any) -> bool:
    return bool(value == setting.default) or (setting.default is None and value == "")


def _unknown(key: str) -> str:
    known = [*SETTINGS, *ALIASES, *CONFLUENT_ONLY]
    near = get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key} is no setting of a Kafka client{hint}"


def _convert(key: str, value: Any, setting: Setting) -> Any:
    return _CONVERTERS[setting.kind](key, value, setting)


def _callable(key: str, value: Any, setting: Setting) -> Any:
    if not callable(value) and setting.handling is Handling.HONOURED:
        raise SettingRefused(f"{key} must be callable")
    return value


def _int(key: str, value: Any, setting: Setting) -> int:
    try:
        number = int(value.strip()) if isinstance(value, str) else int(value)
        exact = isinstance(value, str) or number == value
    except (TypeError, ValueError):
        exact = False
    if not exact or isinstance(value, bool):
        raise SettingRefused(f"{key} must be an integer, not {value!r}")
    if not setting.low <= number <= setting.high:
        limits = f"{setting.low} to {setting.high}"
        raise SettingRefused(f"{key}={number} is outside of {limits}")
    return number


def _bool(key: str, value: Any, _setting: Setting) -> bool:
    if (read := boolean_of(value)) is None:
        raise SettingRefused(f"{key} must be true or false, not {value!r}")
    return read


def _secret(key: str, value: Any, _setting: Setting) -> str:
    if isinstance(value, str | int):
        return str(value)
    raise SettingRefused(f"{key} must be text")


def _str(key: str, value: Any, setting: Setting) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str | int | float):
        raise SettingRefused(f"{key} must be text, not {type(value).__name__}")
    text = str(value).strip()
    if not setting.choices:
        return text
    for choice in setting.choices:
        if choice.lower() == text.lower():
            return choice
    if setting.handling is Handling.HONOURED and key == "sasl.oauthbearer.method":
        raise FeatureRefused(f"the {_NAME} cannot honour {key}={text}")
    raise SettingRefused(f"{key}={text} is none of {', '.join(setting.choices)}")


_CONVERTERS: dict[str, Callable[[str, Any, Setting], Any]] = {
    "int": _int,
    "bool": _bool,
    "str": _str,
    "secret": _secret,
    "callable": _callable,
}
