"""The setting `channels`: what is wrong with them is raised where a client is made."""

from __future__ import annotations

import pytest

from kafkaroute import ChannelNotFound, ConfigurationError, Consumer, KafkaException, Producer


@pytest.mark.parametrize("make", [Producer, Consumer])
def test_an_unknown_channel(world, make):
    with pytest.raises(ChannelNotFound):
        make(world.settings(channels=["kafka://nowhere.invalid/none"]))


@pytest.mark.parametrize("make", [Producer, Consumer])
def test_a_wrong_setting(world, make):
    channel = world.channel()
    with pytest.raises((ConfigurationError, KafkaException), match="no.such.setting"):
        make(world.settings({"no.such.setting": "1"}, channels=[channel]))


def test_clients_are_there(world):
    channels = [world.channel(), world.channel(1)]
    producer = world.producer(channels=",".join(channels))
    assert set(producer.routes()) == set(channels)
    asked = len(world.stub.requests)
    for channel in channels:
        producer.produce(channel, b"1")
    assert producer.flush(10) == 0
    assert len(world.stub.requests) == asked


@pytest.mark.parametrize("value", [5, [5], {"a": 1}])
def test_what_is_no_list_of_channels(world, value):
    with pytest.raises(ConfigurationError, match="channels"):
        Producer(world.settings(channels=value))
