"""Another user name and password for a live client."""

from __future__ import annotations

from typing import Any

from kafkaroute.messages import KafkaError, kafka_exception

from ..internals import update_credentials
from ..logs import protect_logs

__all__ = ["replace_credentials"]


def replace_credentials(
    kwargs: dict[str, Any], client: Any | None, username: str, password: str
) -> None:
    """Put them where the client is still to be opened from, and into `client` if it is open.

    Raises KafkaException ``_STATE`` for a client without SASL PLAIN or SCRAM, UnsupportedFeature
    on a kafka-python that keeps them elsewhere.
    """
    protect_logs(username, password)
    if "sasl_plain_username" not in kwargs:
        raise kafka_exception(KafkaError._STATE, "the client does not use SASL PLAIN or SCRAM")
    kwargs["sasl_plain_username"] = username
    kwargs["sasl_plain_password"] = password
    if client is not None:
        update_credentials(client, username, password)
