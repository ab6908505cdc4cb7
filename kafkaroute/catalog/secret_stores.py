"""The documented address of :class:`SecretStore`; stores of others may import it from
here. It is kept in ``kafkaroute.rules.secrets.stores``."""

from ..rules.secrets.stores import SecretStore

__all__ = ["SecretStore"]
