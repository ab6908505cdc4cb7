"""kafka-python's exceptions as librdkafka's error codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from kafkaroute.errors import KafkaException, UnsupportedFeature
from kafkaroute.messages import KafkaError

from .library import kp

__all__ = ["batch_error", "failure", "mapped", "to_kafka_error"]

#: Packages whose code raises what :func:`mapped` tells in other words.
_OWN = frozenset({"kafka", "kafkaroute", "kafkaroute_kafka_python"})

_FATAL = (kp.ProducerFencedError, kp.InvalidProducerEpochError)
_ABORTABLE = (kp.TransactionAbortableError,)

#: The first class that matches counts; broker errors carry their own number.
_LOCAL: tuple[tuple[type[BaseException], int], ...] = (
    (kp.NoOffsetForPartitionError, KafkaError._AUTO_OFFSET_RESET),
    (kp.OffsetOutOfRangeError, KafkaError._AUTO_OFFSET_RESET),
    (kp.LogTruncationError, KafkaError._LOG_TRUNCATION),
    (kp.SaslAuthenticationFailedError, KafkaError._AUTHENTICATION),
    (kp.UnsupportedSaslMechanismError, KafkaError._AUTHENTICATION),
    (kp.CorruptRecordError, KafkaError._BAD_MSG),
    (kp.KafkaTimeoutError, KafkaError._TIMED_OUT),
    (kp.KafkaConnectionError, KafkaError._TRANSPORT),
    (kp.NodeNotReadyError, KafkaError._TRANSPORT),
    (kp.MetadataEmptyBrokerList, KafkaError._TRANSPORT),
    (kp.Cancelled, KafkaError._DESTROY),
    (kp.TransactionAbortedError, KafkaError._PURGE_QUEUE),
    (kp.IllegalStateError, KafkaError._STATE),
    (kp.KafkaConfigurationError, KafkaError._INVALID_ARG),
    (kp.IllegalArgumentError, KafkaError._INVALID_ARG),
    (kp.UnsupportedVersionError, KafkaError._UNSUPPORTED_FEATURE),
    (kp.UnsupportedCodecError, KafkaError._BAD_COMPRESSION),
    (kp.KafkaProtocolError, KafkaError._BAD_MSG),
    (kp.UnknownBrokerIdError, KafkaError._UNKNOWN_BROKER),
    (AssertionError, KafkaError._STATE),
    (KeyError, KafkaError._UNKNOWN_PARTITION),
    (ValueError, KafkaError._INVALID_ARG),
    (TypeError, KafkaError._INVALID_ARG),
    (OSError, KafkaError._TRANSPORT),
)


def to_kafka_error(exc: BaseException) -> KafkaError:
    """The error an application of librdkafka would have seen for `exc`."""
    if isinstance(exc, kp.CommitFailedError) and exc.args:
        # It wraps the broker's answer, or says in words that the member is out of the group.
        cause = exc.args[0]
        if isinstance(cause, BaseException):
            return to_kafka_error(cause)
        return KafkaError(KafkaError.UNKNOWN_MEMBER_ID, str(cause))
    retriable = isinstance(exc, kp.RetriableError)
    if isinstance(exc, _FATAL):
        return KafkaError(KafkaError._FENCED, str(exc), fatal=True)
    text = str(exc) or type(exc).__name__
    if (told := _told_by_text(exc, text)) is not None:
        return KafkaError(told, text)
    for kind, code in _LOCAL:
        if isinstance(exc, kind):
            return KafkaError(code, text, retriable=retriable)
    number = getattr(exc, "errno", None)
    told = isinstance(exc, kp.BrokerResponseError) and isinstance(number, int)
    return KafkaError(
        int(number or 0) if told else KafkaError._FAIL,
        text,
        retriable=retriable,
        fatal=told and isinstance(exc, kp.FencedInstanceIdError),
        txn_requires_abort=told and isinstance(exc, _ABORTABLE),
    )


def _told_by_text(exc: BaseException, text: str) -> int | None:
    """The code of errors that kafka-python tells apart by their text alone."""
    if isinstance(exc, kp.KafkaConnectionError) and "Handshake failed" in text:
        return KafkaError._SSL
    return KafkaError._UNKNOWN_PARTITION if "Unrecognized partition" in text else None


def batch_error(exc: BaseException) -> KafkaError:
    """As :func:`to_kafka_error`, for a batch that was not delivered."""
    if isinstance(exc, kp.KafkaTimeoutError):
        return KafkaError(KafkaError._MSG_TIMED_OUT, "Local: Message timed out")
    return to_kafka_error(exc)


def failure(exc: BaseException) -> KafkaException:
    """A KafkaException for `exc`; kafkaroute's own exceptions pass unchanged."""
    if isinstance(exc, KafkaException):
        return exc
    return KafkaException(to_kafka_error(exc))


def _is_foreign(exc: BaseException) -> bool:
    """Whether it comes out of code that is neither kafka-python's nor ours nor Python's."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(exc.__traceback__))
    return any(
        name.partition(".")[0] not in _OWN and name.partition(".")[0] not in sys.stdlib_module_names
        for name in modules
    )


@contextmanager
def mapped() -> Iterator[None]:
    """Let nothing of kafka-python out of the block but what :func:`failure` makes of it. What an
    application's code raised inside, such as a signal's handler, passes unchanged."""
    try:
        yield
    except (KafkaException, UnsupportedFeature):
        raise
    except kp.KafkaError as exc:
        raise failure(exc) from exc
    except (ValueError, TypeError, KeyError, OSError, AssertionError) as exc:
        if _is_foreign(exc):
            raise
        raise failure(exc) from exc
