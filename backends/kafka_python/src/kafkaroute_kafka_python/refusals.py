"""Refused settings: what the bare client reports by a KafkaException, kafkaroute by a class of its
own. These are both."""

from __future__ import annotations

from kafkaroute.errors import ConfigurationError, KafkaException, UnsupportedFeature
from kafkaroute.messages import KafkaError

__all__ = ["FeatureRefused", "SettingRefused"]


class SettingRefused(ConfigurationError, KafkaException):
    """A setting is unknown or wrong; ``args[0]`` is a KafkaError ``_INVALID_ARG``, the text names
    the setting."""

    def __init__(self, reason: str) -> None:
        super().__init__(KafkaError(KafkaError._INVALID_ARG, reason))

    def __str__(self) -> str:
        return str(self.args[0].str())

    def __reduce__(self) -> tuple[type[SettingRefused], tuple[str]]:
        return type(self), (str(self),)


class FeatureRefused(UnsupportedFeature, SettingRefused):
    """kafka-python has nothing for this setting."""
