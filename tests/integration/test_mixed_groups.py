"""Members of one group over different client libraries, whose subscriptions change.

Applications move from one backend to the other member by member, and a route may change meanwhile.
"""

import pytest

from kafkaroute.backend.registry import get_backend
from kafkaroute.testing.conformance.kit import Kit
from kafkaroute.testing.conformance.resubscribing import GroupUnderChange

CONFLUENT, KAFKA_PYTHON = "confluent-kafka", "kafka-python"


@pytest.mark.kafka
@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
@pytest.mark.parametrize(
    "backends",
    [(CONFLUENT, KAFKA_PYTHON), (KAFKA_PYTHON, CONFLUENT), (CONFLUENT, KAFKA_PYTHON, KAFKA_PYTHON)],
    ids=lambda backends: "+".join(name.split("-")[0] for name in backends),
)
def test_subscriptions_of_a_mixed_group_change_one_by_one(real_cluster, backends, strategy):
    kits = [Kit(get_backend(name), real_cluster, {}) for name in backends]
    try:
        group = kits[0].name("g")
        settings = {"enable.auto.commit": False, "partition.assignment.strategy": strategy}
        members = [kit.consumer(settings, group=group) for kit in kits]
        GroupUnderChange(kits[0], members, 0.05).change()
    finally:
        for kit in kits:
            kit.close()
