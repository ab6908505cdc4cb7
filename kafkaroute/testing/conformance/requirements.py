"""What a test needs of the backend and of the cluster.

A test that needs a capability runs where the backend declares it; where it does not, the same test
asserts that the backend refuses with UnsupportedFeature. A test that needs a feature which the
cluster lacks is skipped there, with the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from ...backend.contract import Capability
from ...errors import UnsupportedFeature
from ...messages import TopicPartition
from ..cluster import ClusterFeature
from .kit import Kit

__all__ = ["assert_refused", "needs", "requires"]

_Test = TypeVar("_Test", bound=Callable[..., None])


def requires(*capabilities: Capability) -> Callable[[_Test], _Test]:
    """The test uses `capabilities` of the backend."""

    def decorate(test: _Test) -> _Test:
        @functools.wraps(test)
        def run(self: object, *args: Any, kit: Kit, **others: Any) -> None:
            missing = [each for each in capabilities if each not in kit.backend.capabilities]
            if not missing:
                test(self, *args, kit=kit, **others)
            for capability in missing:
                assert_refused(kit, capability)

        return run  # type: ignore[return-value]  # the same parameters, by functools.wraps

    return decorate


def needs(*features: ClusterFeature) -> Callable[[_Test], _Test]:
    """The test uses `features` of the cluster."""

    def decorate(test: _Test) -> _Test:
        @functools.wraps(test)
        def run(self: object, *args: Any, kit: Kit, **others: Any) -> None:
            for feature in features:
                if not kit.cluster.supports(feature):
                    pytest.skip(f"the {kit.cluster.kind} cluster lacks {feature}")
            test(self, *args, kit=kit, **others)

        return run  # type: ignore[return-value]

    return decorate


def assert_refused(kit: Kit, capability: Capability) -> None:
    """The backend does not declare `capability`: using it must raise UnsupportedFeature."""
    with pytest.raises(UnsupportedFeature, match=r"\S"):
        _PROBES[capability](kit)


def _transactions(kit: Kit) -> None:
    kit.producer({"transactional.id": kit.name("tx")}).init_transactions(10)


def _purge(kit: Kit) -> None:
    kit.producer().purge(True, True, True)


def _set_sasl_credentials(kit: Kit) -> None:
    kit.producer().set_sasl_credentials("user", "password")


def _cooperative(kit: Kit) -> None:
    kit.consumer({"partition.assignment.strategy": "cooperative-sticky"})


def _offsets_for_times(kit: Kit) -> None:
    kit.consumer().offsets_for_times([TopicPartition(kit.topic(), 0, 0)], 10)


def _static_membership(kit: Kit) -> None:
    kit.consumer({"group.instance.id": "one"})


def _tls(kit: Kit) -> None:
    kit.producer({"security.protocol": "SSL"})


def _sasl(mechanism: str) -> Callable[[Kit], None]:
    def open_with_sasl(kit: Kit) -> None:
        kit.producer(
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": mechanism,
                "sasl.username": "user",
                "sasl.password": "password",
            }
        )

    return open_with_sasl


def _headers(kit: Kit) -> None:
    kit.producer().sender(kit.topic())(b"v", b"k", -1, None, 0, [("name", b"value")])


def _null_key_and_value(kit: Kit) -> None:
    kit.producer().sender(kit.topic())(None, None)


def _null_header_values(kit: Kit) -> None:
    kit.producer().sender(kit.topic())(b"v", b"k", -1, None, 0, [("name", None)])


_PROBES: dict[Capability, Callable[[Kit], None]] = {
    Capability.TRANSACTIONS: _transactions,
    Capability.PURGE: _purge,
    Capability.SET_SASL_CREDENTIALS: _set_sasl_credentials,
    Capability.COOPERATIVE_REBALANCE: _cooperative,
    Capability.OFFSETS_FOR_TIMES: _offsets_for_times,
    Capability.STATIC_MEMBERSHIP: _static_membership,
    Capability.TLS: _tls,
    Capability.SASL_PLAIN: _sasl("PLAIN"),
    Capability.SASL_SCRAM: _sasl("SCRAM-SHA-512"),
    Capability.HEADERS: _headers,
    Capability.NULL_KEY_AND_VALUE: _null_key_and_value,
    Capability.NULL_HEADER_VALUES: _null_header_values,
}
