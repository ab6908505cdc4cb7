"""close(timeout) of a Producer holds its timeout, whatever else runs."""

from __future__ import annotations

import threading
import time

from kafkaroute import KafkarouteError, Producer

NOBODY = {"bootstrap.servers": "127.0.0.1:9"}


def test_while_another_thread_asks_a_cluster_that_is_away(world):
    channel = world.channel(connection=NOBODY)
    producer = Producer(world.settings())
    producer.produce(channel, b"never delivered")

    def ask():
        try:
            producer.list_topics(channel, 15)
        except KafkarouteError:
            ended.set()

    ended = threading.Event()
    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert producer.close(1) == 1
    assert time.monotonic() - began < 5
    assert ended.wait(20)
    asking.join()
