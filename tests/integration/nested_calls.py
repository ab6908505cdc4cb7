"""Calls a client's methods from inside its callbacks and from a signal handler. Run as a program:

    nested_calls.py WHAT FROM SETTINGS CHANNEL

WHAT is consumer or producer, FROM where the calls are made, SETTINGS a JSON object. Prints a line a
method: its name, what it ended with, and how many of MESSAGES were seen to the end.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import time

from kafkaroute import Consumer, KafkarouteError, Producer, TopicPartition

MESSAGES = 20
#: Seconds for one method, all told.
PATIENCE = 15

#: Calls of a Consumer; `p` are partitions of the assignment, `c` the channel.
CONSUMER = {
    "committed": lambda it, p, c: it.committed([TopicPartition(c, 0)], timeout=2),
    "list_topics": lambda it, p, c: it.list_topics(c, timeout=2),
    "get_watermark_offsets": lambda it, p, c: it.get_watermark_offsets(
        TopicPartition(c, 0), timeout=2
    ),
    "offsets_for_times": lambda it, p, c: it.offsets_for_times(
        [TopicPartition(c, 0, 0)], timeout=2
    ),
    "position": lambda it, p, c: it.position([TopicPartition(c, 0)]),
    "commit": lambda it, p, c: it.commit(offsets=[TopicPartition(c, 0, 0)], asynchronous=False),
    "commit later": lambda it, p, c: it.commit(offsets=[TopicPartition(c, 0, 0)]),
    "memberid": lambda it, p, c: it.memberid(),
    "assignment": lambda it, p, c: it.assignment(),
    "consumer_group_metadata": lambda it, p, c: it.consumer_group_metadata(),
    "routes": lambda it, p, c: it.routes(),
    "counters": lambda it, p, c: it.counters(),
    "resume": lambda it, p, c: it.resume(p or it.assignment()),
    "pause": lambda it, p, c: it.pause(p or it.assignment()),
    "seek": lambda it, p, c: it.seek(TopicPartition(c, 0, 0)),
    "store_offsets": lambda it, p, c: it.store_offsets(offsets=[TopicPartition(c, 0, 1)]),
    "assign": lambda it, p, c: it.assign(p or it.assignment()),
    "unassign": lambda it, p, c: it.unassign(),
    "incremental_assign": lambda it, p, c: it.incremental_assign(p or it.assignment()),
    "incremental_unassign": lambda it, p, c: it.incremental_unassign(p or it.assignment()),
    "subscribe": lambda it, p, c: it.subscribe([c]),
    "unsubscribe": lambda it, p, c: it.unsubscribe(),
    "poll": lambda it, p, c: it.poll(0.2),
    "consume": lambda it, p, c: it.consume(1, 0.2),
    "next": lambda it, p, c: next(it),
    "close": lambda it, p, c: it.close(),
}
PRODUCER = {
    "produce": lambda it, p, c: it.produce(c, b"again"),
    "len": lambda it, p, c: len(it),
    "list_topics": lambda it, p, c: it.list_topics(c, timeout=2),
    "routes": lambda it, p, c: it.routes(),
    "counters": lambda it, p, c: it.counters(),
    "poll": lambda it, p, c: it.poll(0.2),
    "flush": lambda it, p, c: it.flush(0.5),
    "purge": lambda it, p, c: it.purge(),
    "preload": lambda it, p, c: it.preload([c]),
    "begin_transaction": lambda it, p, c: it.begin_transaction(),
    "commit_transaction": lambda it, p, c: it.commit_transaction(0.5),
    "close": lambda it, p, c: it.close(1),
}


class Once:
    """Makes the call the first time it is called, and keeps what it ended with."""

    def __init__(self, name, call):
        self.name = name
        self._call = call
        self.ended = None
        # A commit before the group is joined may make the join begin again.
        self.armed = not name.startswith("commit")

    def __call__(self, *args):
        if self.ended is not None or not self.armed:
            return
        self.ended = "did not return"
        try:
            self._call(*args)
        except Exception as error:
            kind = "raised" if isinstance(error, KafkarouteError) else "raised a stranger"
            self.ended = f"{kind}: {type(error).__name__}: {error}"[:200]
        else:
            self.ended = "returned"


def on_signal(once, client, channel):
    signal.signal(signal.SIGALRM, lambda *_: once(client, None, channel))
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)


def consumer_config(name, where, told):
    config = {"group.id": f"nested-{name}-{time.time()}", "auto.offset.reset": "earliest"}
    if where in {"stats_cb", "on_commit"}:
        config |= {where: told}
    if where == "on_commit":
        config |= {"auto.commit.interval.ms": 100}
    if where == "stats_cb":
        config |= {"statistics.interval.ms": 1}
    return config


def read(consumer, once, where):
    """Values that came until all did and the call was made."""
    once.armed |= where in {"on_assign", "on_revoke"}
    seen, until = set(), time.monotonic() + 4
    while time.monotonic() < until and (len(seen) < MESSAGES or once.ended is None):
        if len(seen) == MESSAGES and where == "on_revoke":
            break  # that comes with close()
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            seen.add(message.value())
            once.armed = True
    return seen


def consume(name, where, settings, channel):
    once = Once(name, CONSUMER[name])
    told = lambda *_: once(consumer, None, channel)  # noqa: E731  # it is there when it is called
    config = settings["client_config"] | consumer_config(name, where, told)
    callbacks = {}
    if where in {"on_assign", "on_revoke"}:
        callbacks[where] = lambda it, partitions: once(it, partitions, channel)
    consumer = Consumer({**settings, "client_config": config})
    consumer.subscribe([channel], **callbacks)
    if where == "signal":
        on_signal(once, consumer, channel)
    seen = ()
    try:
        seen = read(consumer, once, where)
    except KafkarouteError as error:
        print(f"  poll: {type(error).__name__}: {error}"[:200])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    consumer.close()
    return once.ended, len(seen)


def produce(name, where, settings, channel):
    once = Once(name, PRODUCER[name])
    once.armed = True
    seen = []

    def told(*_):
        once(producer, None, channel)

    def delivered(_error, _message):
        seen.append(1)
        told()

    client_config = dict(settings["client_config"])
    if where == "stats_cb":
        client_config.update({"stats_cb": told, "statistics.interval.ms": 1})
    producer = Producer({**settings, "client_config": client_config})
    callback = delivered if where == "on_delivery" else lambda *_: seen.append(1)
    try:
        for number in range(MESSAGES):
            producer.produce(channel, b"n%d" % number, on_delivery=callback)
        if where == "signal":
            on_signal(once, producer, channel)
        until = time.monotonic() + 4
        while time.monotonic() < until and (len(seen) < MESSAGES or once.ended is None):
            producer.poll(0.1)
    except KafkarouteError as error:
        print(f"  poll: {type(error).__name__}: {error}"[:200])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    producer.close(5)
    return once.ended, len(seen)


def main(what, where, settings, channel, *names):
    known, run = (CONSUMER, consume) if what == "consumer" else (PRODUCER, produce)
    for name in names or known:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        ended, seen = run(name, where, json.loads(settings), channel)
        print(json.dumps([name, ended, seen, round(time.monotonic() - began, 2)]), flush=True)
    print("END", flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    main(*sys.argv[1:])
