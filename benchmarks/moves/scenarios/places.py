"""A channel that goes to another place, or several."""

from __future__ import annotations

import random
import threading

from ..mirror import copy_history
from ..stage import TTL, WINDOW, Stage
from .registry import Script, bounds, scenario


@scenario("0", "control: nothing moves", bounds=lambda _: bounds(late=0, duplicated=0))
def control(stage: Stage) -> Script:
    stage.channel("A", stage.topic("A"))
    yield
    stage.lead_in()
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


def one_move(stage: Stage, cluster: str, *, same_name: bool = False, extra: float = 0.0) -> Script:
    """From a topic of A to one of `cluster`; `extra`: seconds that it may take longer."""
    old = stage.topic("A", cluster) if same_name else stage.topic("A")
    channel = stage.channel("A", old)
    new = old if same_name else stage.topic(cluster)
    yield
    stage.lead_in()
    stage.move(channel, cluster, new, "catalog: other topic" if cluster == "A" else "catalog: B")
    stage.settled(extra=extra)


@scenario("1", "topic move")
def topic_move(stage: Stage) -> Script:
    return one_move(stage, "A")


@scenario("2", "cluster move")
def cluster_move(stage: Stage) -> Script:
    return one_move(stage, "B")


@scenario("3", "cluster move, same topic name")
def same_name(stage: Stage) -> Script:
    return one_move(stage, "B", same_name=True)


@scenario("9", "there and back (A → B → A)")
def there_and_back(stage: Stage) -> Script:
    home = stage.topic("A")
    channel = stage.channel("A", home)
    away = stage.topic("B")
    yield
    stage.lead_in()
    stage.move(channel, "B", away, "catalog: B")
    stage.until("left", stage.members(), TTL + WINDOW + 8)
    stage.run.sleep(1)
    stage.move(channel, "A", home, "catalog: back to A")
    stage.settled(2)


@scenario("10", "two channels of one consumer move at different times")
def two_channels(stage: Stage) -> Script:
    first = stage.channel("A", stage.topic("A"))
    second = stage.channel("A", stage.topic("A"))
    new_first, new_second = stage.topic("B"), stage.topic("A")
    yield
    stage.lead_in()
    stage.move(first, "B", new_first, "catalog: channel 1 to B")
    stage.run.sleep(2)
    stage.move(second, "A", new_second, "catalog: channel 2, other topic")
    stage.settled(2)


@scenario("16", "many random moves in a row", load={"settle": 25.0})
def random_moves(stage: Stage) -> Script:
    places = [("A", stage.topic("A")), ("A", stage.topic("A")), ("B", stage.topic("B"))]
    places.append(("B", stage.topic("B")))
    here = places[0]
    channel = stage.channel(*here)
    chance = random.Random(16)
    yield
    stage.lead_in()
    for _ in range(stage.size.moves):
        here = chance.choice([place for place in places if place != here])
        stage.move(channel, *here, f"{here[0]}{places.index(here) % 2 + 1}")
        # Order is promised for moves that are a TTL, a window and the opening of a place apart
        # (docs/moves.md).
        stage.run.sleep(chance.uniform(TTL + WINDOW + 2, TTL + WINDOW + 4))
    stage.run.sleep(TTL + WINDOW + 6 + stage.size.tail)


@scenario(
    "17",
    "mirrored topic: the new cluster has the old one's history",
    consume={"on_move_start": "timestamp"},
    remark="duplicates are the mirror's copies of what was written within `move_window` before",
    # The copies lie elsewhere, and nobody rescued them.
    bounds=lambda _: bounds(unexplained=None),
)
def mirrored(stage: Stage) -> Script:
    topic = stage.topic("A", "B")
    channel = stage.channel("A", topic)
    yield
    stage.lead_in()
    old, new = (stage.clusters[name].bootstrap_servers for name in "AB")
    copier = threading.Thread(target=copy_history, args=(topic, old, new))
    copier.start()
    stage.run.wait_until(lambda: not copier.is_alive(), 30)
    stage.run.mark("history copied")
    stage.run.sleep(0.5)
    stage.move(channel, "B", topic, "catalog: B")
    stage.settled()
