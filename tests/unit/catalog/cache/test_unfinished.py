"""What a consumer is told that it has not finished: from `previous`, and from the snapshot."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from kafkaroute.catalog.previous import leads_to_same_place, previous_routes
from kafkaroute.errors import CatalogUnavailable
from kafkaroute.policy import Policy
from kafkaroute.testing.scripted_catalog import route_to

from . import unfinished_world
from .unfinished_world import BAR, WEEK, Process, at, old

path = unfinished_world.path


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (at("t"), at("t"), True),
        (at("t"), at("u"), False),
        (at("t", "a:1, b:1"), at("t", "B:1,a:1"), True),
        (at("t", "a:1"), at("t", "b:1"), False),
        (at("t", "a:1", cluster_id="x"), at("t", "b:1", cluster_id="x"), True),
        (at("t", "a:1", cluster_id="x"), at("t", "a:1", cluster_id="y"), False),
        (at("t", "a:1", cluster_id="x"), at("t", "a:1"), True),
        (at("t", credentials={"sasl.username": "u"}), at("t"), True),
        (at("t", configuration={"acks": 1}), at("t"), True),
    ],
)
def test_what_makes_a_place(one, other, same):
    assert leads_to_same_place(one, other) is same
    assert leads_to_same_place(other, one) is same


# --- previous -------------------------------------------------------------------------------------


def test_previous_becomes_routes_with_the_current_configuration():
    own = {"security.protocol": "SASL_SSL", "sasl.username": "u", "sasl.password": "old"}
    route = at(
        "new",
        credentials={"sasl.username": "u", "sasl.password": "new"},
        configuration={"fetch.min.bytes": 7},
        previous=[old("was", credentials=own, generation=3, cluster_id="c"), old("bare")],
    )
    was, bare = previous_routes(route, 0.0)
    assert was.client_config() == own | {"bootstrap.servers": "o:1", "fetch.min.bytes": 7}
    assert (was.channel, was.topic, was.generation, was.cluster_id) == (BAR, "was", 3, "c")
    assert was.previous == ()
    # the credentials of one cluster are not shown to another
    assert bare.client_config() == {"bootstrap.servers": "o:1", "fetch.min.bytes": 7}


def test_previous_in_the_order_of_generations_and_without_what_is_over():
    until = "2023-11-14T22:13:20+00:00"  # 1,700,000,000
    route = at("new", previous=[old("b", generation=5), old("a", generation=2)])
    assert [r.topic for r in previous_routes(route, 0.0)] == ["a", "b"]
    route = at("new", previous=[old("b", generation=5), old("a", until=until)])
    assert [r.topic for r in previous_routes(route, 1_699_999_999.0)] == ["b", "a"]
    assert [r.topic for r in previous_routes(route, 1_700_000_001.0)] == ["b"]


def test_a_consumer_hears_of_previous_without_a_snapshot():
    assert Process(None, at("new", previous=[old("was"), old("new", "a:1")])).subscribe() == ["was"]


def test_a_hostile_previous_does_not_get_through():
    for entry in (
        old("was", configuration={"plugin.library.paths": "/evil.so"}),
        old("was", connection={"bootstrap.servers": "o:1", "sasl.kerberos.kinit.cmd": "rm"}),
    ):
        process = Process(None, at("new", previous=[entry]), check=Policy().check)
        with pytest.raises(Exception, match="policy"):
            process.subscribe()


# --- the snapshot ---------------------------------------------------------------------------------


def test_a_move_while_the_consumer_was_down(path):
    first = Process(path, at("a"))
    assert first.subscribe() == []
    first.cache.close()
    second = Process(path, at("b"))
    assert second.subscribe() == ["a"]
    assert second.subscribe("a group that never read it") == []


def test_who_read_a_place_is_known_from_the_snapshot_alone(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.cache.close()
    second = Process(path, at("c", previous=[old("b")]))
    assert second.subscribe() == ["a", "b"]
    unfinished = second.cache.unfinished
    routes = unfinished.of(BAR, "g")
    assert [unfinished.was_read(BAR, route, "g") for route in routes] == [True, False]
    assert [unfinished.was_read(BAR, route, "other") for route in routes] == [False, False]
    unfinished.keep(BAR, routes[1])
    assert unfinished.was_read(BAR, routes[1], "g")


def test_a_reader_is_written_down_at_once(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.pass_time(0.1)  # and is killed
    assert Process(path, at("b")).subscribe() == ["a"]


def test_two_moves_while_it_was_down_and_one_before(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.move(at("b"))
    first.cache.close()
    second = Process(path, at("d", previous=[old("c", "a:1")]))
    assert second.subscribe() == ["a", "b", "c"]


def test_the_answers_own_words_about_a_place_win(path):
    first = Process(path, at("a", credentials={"sasl.username": "u", "sasl.password": "old"}))
    first.subscribe()
    first.cache.close()
    new = {"sasl.username": "u", "sasl.password": "new"}
    second = Process(path, at("b", previous=[old("a", "a:1", credentials=new)]))
    second.cache.get(BAR)
    [route] = second.cache.unfinished.of(BAR, "g")
    assert route.credentials["sasl.password"] == "new"


def test_nothing_is_lost_by_a_kill_at_any_moment_of_a_move(path):
    """No close(): what is in the file after each step is all that the next process has."""
    first = Process(path, at("a"))
    first.subscribe()
    first.pass_time(1.1)
    for wait in (0.0, 0.5, 1.1, 60.0):
        first.move(at("b"))
        first.pass_time(wait)
        assert Process(path, at("b")).subscribe() == ["a"], wait


def test_finished_is_finished_in_the_next_process_too(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.move(at("b"))
    assert first.subscribe() == ["a"]
    first.finish("a")
    assert first.subscribe() == []
    first.cache.close()
    assert Process(path, at("b")).subscribe() == []


def test_one_group_does_not_finish_for_another(path):
    """Two processes, two groups, one file, in any order of writing."""
    one, other = Process(path, at("a")), Process(path, at("a"))
    one.subscribe("g1")
    other.subscribe("g2")
    for process in (one, other):
        process.move(at("b"))
    one.finish("a", "g1")
    for process in (one, other, one):
        process.cache._saved._snapshot.flush()
    fresh = Process(path, at("b"))
    assert fresh.subscribe("g2") == ["a"]
    assert fresh.subscribe("g1") == []


def test_a_process_that_has_not_seen_the_move_is_not_overruled(path):
    """Its own route is not in the file any more: another process saw the move first."""
    slow = Process(path, at("a"))
    slow.subscribe()
    slow.pass_time(1.1)
    quick = Process(path, at("b"))
    Process.now += 5
    quick.cache.get(BAR)
    quick.cache.close()  # it reads the channel for no group
    text = json.loads(path.read_text())
    [row] = [rows[BAR] for rows in text["scopes"].values()]
    assert row["answer"]["routes"][BAR]["topic"] == "b"
    assert Process(path, at("b")).subscribe() == ["a"]  # slow was killed


def test_the_first_write_comes_after_another_process_wrote_the_new_route(path):
    slow = Process(path, at("a"))
    slow.subscribe()
    Process.now += 5
    quick = Process(path, at("b"))
    quick.subscribe("other")
    quick.cache.close()
    slow.pass_time(1.1)
    assert Process(path, at("b")).subscribe() == ["a"]


def test_there_and_back(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.move(at("b"))
    first.finish("a")
    first.pass_time(10)
    first.move(at("a"))
    assert first.subscribe() == ["b"]
    first.finish("b")
    first.pass_time(10)
    first.move(at("b"))
    assert first.subscribe() == ["a"]
    first.cache.close()
    assert Process(path, at("b")).subscribe() == ["a"]


def test_a_previous_that_is_done_is_not_opened_at_each_start(path):
    current = at("b", generation=4, previous=[old("a", generation=3)])
    first = Process(path, current)
    assert first.subscribe() == ["a"]
    first.finish("a")
    first.cache.close()
    second = Process(path, current)
    assert second.subscribe() == []
    assert second.subscribe("g2") == ["a"]
    again = at("b", generation=6, previous=[old("a", generation=5)])
    assert Process(path, again).subscribe() == ["a"]
    # Without generations two stays in one place are the same: better looked at twice.
    assert Process(path, at("b", previous=[old("a")])).subscribe() == ["a"]


def test_a_previous_that_is_being_worked_on_outlives_the_answer(path):
    first = Process(path, at("b", previous=[old("a")]))
    [name] = first.subscribe()
    [route] = first.cache.unfinished.of(BAR, "g")
    first.cache.unfinished.keep(BAR, route)
    first.cache.close()
    second = Process(path, at("b"))
    assert second.subscribe() == [name]
    second.finish("a")
    assert second.subscribe() == []


def test_a_weekend_later_but_not_for_ever(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.cache.close()
    Process.now += 3 * 86_400  # much more than max_stale
    down = Process(path, CatalogUnavailable("down"))
    with pytest.raises(CatalogUnavailable):
        down.subscribe()  # too old to be used
    second = Process(path, at("b"))
    assert second.subscribe() == ["a"]  # but not too old to be finished
    second.cache.close()
    Process.now += WEEK + 1
    assert Process(path, at("b")).subscribe() == []


def test_producers_keep_no_account(path):
    first = Process(path, at("a"), intent="produce")
    first.cache.get(BAR)
    first.move(at("b"))
    first.cache.close()
    [row] = [rows[BAR] for rows in json.loads(path.read_text())["scopes"].values()]
    assert "left" not in row
    assert "groups" not in row


def test_files_from_before_are_read(path):
    first = Process(path, at("a"))
    first.cache.get(BAR)
    first.cache.close()
    text = json.loads(path.read_text())
    for rows in text["scopes"].values():
        rows[BAR].pop("groups")
    path.write_text(json.dumps(text))
    path.chmod(0o600)
    assert Process(path, at("b")).subscribe("anybody") == ["a"]


def test_damaged_entries_are_left_out(path):
    first = Process(path, at("a"))
    first.subscribe()
    first.move(at("b"))
    first.cache.close()
    text = json.loads(path.read_text())
    for rows in text["scopes"].values():
        rows[BAR]["left"] += [None, {}, {"answer": {}, "since": "x"}, {"answer": 3, "since": 1}]
        rows[BAR]["left"].insert(0, {"since": 1.0})
    path.write_text(json.dumps(text))
    path.chmod(0o600)
    second = Process(path, at("b"))
    assert second.subscribe() == ["a"]
    second.cache.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_policy_holds_for_what_the_file_says(path):
    first = Process(path, at("a", configuration={"debug": "all"}))
    first.subscribe()
    first.cache.close()
    assert Process(path, at("b"), check=Policy().check).subscribe() == []


_CHILD = """
import sys, time
from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.snapshot import Snapshot
from kafkaroute.testing.scripted_catalog import ScriptedCatalog, route_to
BAR = "kafka://example.com/bar"
catalog = ScriptedCatalog({BAR: route_to("a")})
cache = RouteCache(catalog, intent="consume", ttl=1.0, snapshot=Snapshot(sys.argv[1]))
cache.watch(lambda *_: print("moved", flush=True))
cache.get(BAR)
cache.unfinished.of(BAR, "g")
print("reading", flush=True)
sys.stdin.readline()
catalog.script[BAR] = route_to("b")
time.sleep(60)
"""


def test_killed_right_after_the_move_was_seen(path):
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "reading\n"
        until = time.monotonic() + 30
        while not path.exists():  # its first write, a second after the first answer
            assert time.monotonic() < until
            time.sleep(0.02)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "moved\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        child.stdin.close()
        child.stdout.close()
    Process.now = time.time()
    process = Process(path, route_to("b"))
    assert process.subscribe() == ["a"]
