"""The suite's public base class: all themes together, their fixtures, and the guard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ...backend.contract import Backend
from ...backend.registry import get_backend
from ...backend.settings_keys import ConfigValue
from ..cluster import Cluster
from .ahead import AheadTests
from .ahead_callbacks import AheadCallbackTests
from .ahead_commits import AheadCommitTests
from .ahead_groups import AheadGroupTests
from .assignment import AssignmentTests
from .batches import BatchTests
from .commits import CommitTests
from .configuration import ConfigurationTests
from .consuming import ConsumingTests
from .delivery import DeliveryTests
from .endings import EndingTests
from .failure_reports import FailureReportTests
from .failures import FailureTests
from .groups import GroupTests
from .guard import check_subclass, check_themes
from .headers import HeaderTests
from .kit import Kit
from .lookups import LookupTests
from .outages import OutageTests
from .partitioning import PartitioningTests
from .payloads import PayloadTests
from .processes import ProcessTests
from .rebalancing import RebalancingTests
from .resubscribing import ResubscribingTests
from .rotation import RotationTests
from .security import SecurityTests
from .seeking import SeekingTests
from .standby import StandbyTests
from .transactions import TransactionTests

__all__ = ["BackendConformance"]


class BackendConformance(
    ConfigurationTests,
    PayloadTests,
    HeaderTests,
    PartitioningTests,
    BatchTests,
    DeliveryTests,
    FailureTests,
    FailureReportTests,
    ConsumingTests,
    SeekingTests,
    StandbyTests,
    AheadTests,
    AssignmentTests,
    CommitTests,
    AheadCommitTests,
    LookupTests,
    GroupTests,
    RebalancingTests,
    AheadGroupTests,
    AheadCallbackTests,
    ResubscribingTests,
    TransactionTests,
    ProcessTests,
    EndingTests,
    SecurityTests,
    RotationTests,
    OutageTests,
):
    """Subclass it, set `backend`, provide the fixture `cluster`.

    Attributes:
        backend: an entry point's name, a Backend class or an instance.
        extra_settings: given to every client that the tests open.
    """

    backend: ClassVar[str | type[Backend] | Backend]
    extra_settings: ClassVar[Mapping[str, ConfigValue]] = {}

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        check_subclass(BackendConformance, cls)

    @pytest.fixture
    def cluster(self) -> Cluster:
        return pytest.fail(f"{type(self).__qualname__} has no fixture named 'cluster'")

    @pytest.fixture
    def kit(self, cluster: Cluster) -> Iterator[Kit]:
        kit = Kit(_backend(self.backend), cluster, self.extra_settings)
        yield kit
        kit.close()

    def test_no_test_is_dropped_or_overridden(self) -> None:
        # Asked again here: attributes can be set and deleted after the class was made.
        check_subclass(BackendConformance, type(self))


check_themes(BackendConformance)


def _backend(given: str | type[Backend] | Backend) -> Backend:
    if isinstance(given, str):
        return get_backend(given)
    return given() if isinstance(given, type) else given
