"""Exceptions that belong to kafkaroute's tree and to confluent-kafka's at once."""

from __future__ import annotations

from typing import Any

import confluent_kafka

from kafkaroute.backend.settings_keys import ALIASES
from kafkaroute.errors import (
    ClosedError,
    ConfigurationError,
    KafkaException,
    KafkarouteError,
    UnsupportedFeature,
)
from kafkaroute.messages import KafkaError, accept_native

from .logs import Redactor

__all__ = [
    "NATIVE_FAILURES",
    "ConfluentConfigurationError",
    "ConfluentKafkaException",
    "ConfluentUnsupportedFeature",
    "construction_error",
    "refused",
    "translated",
]

accept_native(error=confluent_kafka.KafkaError)

#: What the native client raises; NotImplementedError is a RuntimeError.
NATIVE_FAILURES = (confluent_kafka.KafkaException, RuntimeError)


class ConfluentKafkaException(KafkaException, confluent_kafka.KafkaException):  # type: ignore[misc]
    """A native exception; ``args[0]`` is the ``confluent_kafka.KafkaError``."""


class _Refusal(ConfluentKafkaException):
    """confluent-kafka reports a refused setting as a KafkaException, kafkaroute by its own
    class; this is both, and reads like a sentence."""

    def __str__(self) -> str:
        return str(self.args[0].str())


class ConfluentConfigurationError(ConfigurationError, _Refusal):
    """librdkafka refused a setting; the text names it."""


class ConfluentUnsupportedFeature(UnsupportedFeature, _Refusal):
    """This build of librdkafka lacks what a setting asks for."""


def translated(error: Exception, *, closed: bool) -> Exception:
    """The exception to raise for `error`: `error` itself where nothing is to be translated.

    Args:
        error: what the native client, or a callback of the application inside it, raised.
        closed: whether this wrapper was closed; only then a RuntimeError is a ClosedError.
    """
    # Exactly the native class: its subclasses and everything else are the application's own.
    if type(error) is confluent_kafka.KafkaException:
        return ConfluentKafkaException(*error.args).with_traceback(error.__traceback__)
    if isinstance(error, NotImplementedError):
        return UnsupportedFeature(f"confluent-kafka: {error}").with_traceback(error.__traceback__)
    if closed and isinstance(error, RuntimeError) and not isinstance(error, KafkarouteError):
        return ClosedError(str(error)).with_traceback(error.__traceback__)
    return error


def refused(code: int, reason: str) -> ConfluentKafkaException:
    """What librdkafka would have raised."""
    return ConfluentKafkaException(confluent_kafka.KafkaError(code, reason))


def refused_setting(reason: str) -> Exception:
    """The exception for a setting that no native client is made with."""
    return ConfluentConfigurationError(confluent_kafka.KafkaError(KafkaError._INVALID_ARG, reason))


def construction_error(error: Exception, redact: Redactor) -> Exception:
    """The exception for a client that could not be constructed, without secrets in its text."""
    native = error.args[0] if error.args else None
    if isinstance(native, confluent_kafka.KafkaError):
        code, text = native.code(), native.str()
    else:
        code, text = KafkaError._INVALID_ARG, str(error)
    reason = _canonical_names(redact(text.strip()))
    refusal = confluent_kafka.KafkaError(code, reason)
    if "group.id" in reason:
        return ConfluentKafkaException(refusal)
    if "not supported in this build" in reason:
        return ConfluentUnsupportedFeature(refusal)
    if code == KafkaError._INVALID_ARG:
        return ConfluentConfigurationError(refusal)
    return ConfluentKafkaException(refusal)


def _canonical_names(text: str) -> str:
    """librdkafka answers for some settings under their alias: name what the reader wrote."""
    parts: list[Any] = text.split('"')
    parts[1::2] = [ALIASES.get(part, part) for part in parts[1::2]]
    return '"'.join(parts)
