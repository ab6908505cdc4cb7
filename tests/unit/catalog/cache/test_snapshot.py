"""The snapshot file: ages, several writers, and the cache that starts from it."""

import json
import stat
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from kafkaroute.catalog.cache import snapshot
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
)
from kafkaroute.policy import Policy
from kafkaroute.testing.scripted_catalog import route_to

from . import snapshot_world
from .snapshot_world import BAR, BAZ, DOWN, Process, rows

path = snapshot_world.path


# --- starting from it ---------------------------------------------------------------------------


def test_a_process_starts_while_the_catalog_is_down(path, caplog):
    full = route_to(
        "t1",
        credentials={"sasl.username": "u", "sasl.password": "p"},
        configuration={"acks": "all", "linger.ms": 5, "enable.idempotence": True},
        generation=3,
        cluster_id="c",
        start_at="latest",
        previous=[{"connection": {"bootstrap.servers": "o:1"}, "topic": "was"}],
        schema_registry={"url": "https://sr.example"},
        etag='"x"',
        max_age=60.0,
        stale_if_error=700.0,
    )
    first = Process(path, script={BAR: full})
    first.cache.get(BAR)
    first.cache.close()

    second = Process(path, wall=first.wall.now + 100, script={BAR: DOWN})
    route = second.cache.get(BAR)
    assert route == full
    assert (route.etag, route.max_age, route.stale_if_error) == ('"x"', 60.0, 700.0)
    state = second.cache.state(BAR)
    assert (state.status, state.from_snapshot) == ("stale", True)
    assert state.age == pytest.approx(100)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    # and it recovers by itself, telling listeners if the route is another by now
    moved = []
    second.cache.watch(lambda channel, old, new: moved.append((old.topic, new.topic)))
    second.catalog.script[BAR] = route_to("t2")
    second.pass_time(3)
    assert moved == [("t1", "t2")]
    assert second.cache.state(BAR).from_snapshot is False


def test_a_catalog_that_answers_wins_over_the_snapshot(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, script={BAR: route_to("t2")})
    assert second.cache.get(BAR).topic == "t2"


@pytest.mark.parametrize("error", [CatalogUnauthorized("401"), ChannelNotFound("404")])
def test_a_clear_no_is_not_overruled(path, error):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, script={BAR: error})
    with pytest.raises(type(error)):
        second.cache.get(BAR)


def test_garbage_from_the_catalog_is(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, script={BAR: CatalogAnswerInvalid("HTML")})
    assert second.cache.get(BAR).topic == "t1"


def test_ages_count_on_across_a_restart(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    late = Process(path, wall=first.wall.now + 999, script={BAR: DOWN})
    assert late.cache.get(BAR).topic == "t1"
    late.pass_time(2)
    with pytest.raises(CatalogUnavailable):
        late.cache.get(BAR)
    too_late = Process(path, wall=first.wall.now + 1001, script={BAR: DOWN})
    with pytest.raises(CatalogUnavailable):
        too_late.cache.get(BAR)


def test_a_clock_that_was_set_back_makes_no_route_younger_than_new(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, wall=first.wall.now - 5000, script={BAR: DOWN})
    assert second.cache.get(BAR).topic == "t1"
    assert second.cache.state(BAR).age == 0


def test_the_policy_holds_for_saved_routes(path):
    first = Process(path, script={BAR: route_to("t1", configuration={"debug": "all"})})
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, script={BAR: DOWN}, check=Policy().check)
    with pytest.raises(CatalogUnavailable):
        second.cache.get(BAR)


def test_one_failed_question_is_enough_for_all_saved_channels(path):
    names = [f"kafka://example.com/c{number}" for number in range(20)]
    first = Process(path, script={name: route_to("t", name) for name in names})
    first.cache.preload(names)
    first.cache.close()
    second = Process(path, script=dict.fromkeys(names, DOWN))
    assert all(second.cache.get(name).topic == "t" for name in names)
    assert len(second.catalog.questions) == 1
    second.catalog.script = {name: route_to("u", name) for name in names}
    second.pass_time(10)
    assert all(second.cache.get(name).topic == "u" for name in names)


def test_settings_that_differ_do_not_mix(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    other = Process(path, script={BAR: DOWN}, intent="consume")
    with pytest.raises(CatalogUnavailable):
        other.cache.get(BAR)


# --- writing ------------------------------------------------------------------------------------


def test_it_is_written_soon_after_a_change_and_only_for_its_owner(path):
    process = Process(path)
    process.cache.get(BAR)
    assert not path.exists()  # not on the caller's time
    process.pass_time(1.1)
    assert rows(path)[BAR]["answer"]["routes"][BAR]["topic"] == "t1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name for file in path.parent.iterdir()} == {"routes.json", ".routes.json.lock"}


def test_many_changes_make_one_write(path):
    process = Process(path)
    written = []
    process.snapshot.flush = lambda: written.append(process.clock.now)
    for number in range(50):
        name = f"kafka://example.com/c{number}"
        process.catalog.script[name] = route_to("t", name)
        process.cache.get(name)
    process.pass_time(5)
    assert len(written) == 1


def test_a_slow_disk_makes_only_that_wait_which_can(path, monkeypatch):
    process = Process(path)
    writes = []
    # How long a write took is measured by the real clock, which a busy machine would tell as well.
    real = SimpleNamespace(monotonic=lambda: 0.1 * len(writes), time=time.time, sleep=time.sleep)
    monkeypatch.setattr(snapshot, "time", real)

    def slow():
        writes.append(process.clock.now)
        return []

    process.snapshot.attach("another", slow)
    process.snapshot.touch(changed=True)
    process.pass_time(1.5)
    process.snapshot.touch(changed=True)
    process.pass_time(1.4)
    assert len(writes) == 1
    process.snapshot.touch(changed=True, soon=True)
    process.pass_time(0.1)
    process.snapshot.touch(changed=True, soon=True)
    process.pass_time(0.3)
    assert len(writes) == 3


def test_confirmations_are_written_now_and_then(path):
    process = Process(path)
    process.cache.get(BAR)
    process.pass_time(2)
    before = rows(path)[BAR]["confirmed"]
    process.pass_time(84)  # refreshed at 85
    process.pass_time(50)
    assert rows(path)[BAR]["confirmed"] == before
    process.pass_time(15)
    assert rows(path)[BAR]["confirmed"] == pytest.approx(before + 85)


def test_writers_keep_what_others_wrote(path):
    one = Process(path)
    two = Process(path, script={BAZ: route_to("z", BAZ)})
    three = Process(path, intent="consume")
    one.cache.get(BAR)
    two.cache.get(BAZ)
    three.cache.get(BAR)
    for process in (one, two, three):
        process.cache.close()
    scopes = json.loads(path.read_text())["scopes"]
    assert sorted(sorted(rows) for rows in scopes.values()) == [[BAR], [BAR, BAZ]]


def test_the_later_confirmation_wins(path):
    newer = Process(path, wall=2_000.0, script={BAR: route_to("new")})
    older = Process(path, wall=1_500.0, script={BAR: route_to("old")})
    older.cache.get(BAR)
    newer.cache.get(BAR)
    newer.cache.close()
    older.cache.close()
    assert rows(path)[BAR]["answer"]["routes"][BAR]["topic"] == "new"


def test_what_is_too_old_leaves_the_file(path):
    first = Process(path)
    first.cache.get(BAR)
    first.cache.close()
    second = Process(path, wall=first.wall.now + 2000, script={BAZ: route_to("z", BAZ)})
    second.cache.get(BAZ)
    second.cache.close()
    assert list(rows(path)) == [BAZ]


def test_two_processes_at_once_do_not_damage_it(path):
    program = """
import sys
from kafkaroute.catalog.cache.snapshot import Snapshot, SavedRoute
from kafkaroute.testing.scripted_catalog import route_to
me, path = sys.argv[1:]
names = [f"kafka://example.com/{me}-{number}" for number in range(20)]
snapshot = Snapshot(path)
snapshot.attach("scope", lambda: [SavedRoute(route_to("t", name), 4e9, 1e9) for name in names])
for _ in range(25):
    snapshot.flush()
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, me, str(path)]) for me in ("one", "two")
    ]
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            if path.exists():
                seen.append(len(rows(path)))

    reader = threading.Thread(target=read)
    reader.start()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    stop.set()
    reader.join()
    assert set(seen) <= {20, 40}
    assert len(rows(path)) == 40


def test_a_path_that_cannot_be_written_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    process = Process(tmp_path / "file" / "routes.json")
    assert process.cache.get(BAR).topic == "t1"
    process.pass_time(400)
    process.cache.close()
    warnings = [record for record in caplog.records if "cannot be written" in record.message]
    assert len(warnings) == 1
