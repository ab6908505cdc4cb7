"""What tests of a Consumer over fake native consumers share."""

import pytest

from kafkaroute import (
    Consumer,
    KafkaException,
)

A, A2, B, C = "kafka://x/a", "kafka://x/a/two", "kafka://x/b", "kafka://x/c"


@pytest.fixture
def world(fake):
    fake.put(A, "ta", "A")
    fake.put(A2, "ta2", "A")
    fake.put(B, "tb", "B")
    fake.put(C, "ta", "C")  # the same topic name as on A
    return fake


@pytest.fixture
def consumer(world):
    with Consumer(world.settings()) as consumer:
        yield consumer


def code_of(call, *args, **kwargs):
    with pytest.raises(KafkaException) as caught:
        call(*args, **kwargs)
    return caught.value.args[0].code()


def calls(client, name):
    return [call[1:] for call in client.calls if call[0] == name]
