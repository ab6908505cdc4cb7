"""The move certificate: its control run, a real move through the command, and runs that must fail."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kafkaroute.verify import Bounds, Load, MoveRun, verify_move
from kafkaroute.verify.process import WorkFailed

CLEAN = Bounds(duplicated=0, late=0, producer_pause=3.0, consumer_pause=5.0)
#: The embedded cluster ends a rebalance a second before the session timeout.
QUICK = {"session.timeout.ms": 1600, "heartbeat.interval.ms": 300}


def small(**more):
    return Load(**({"producers": 2, "groups": 1, "members": 1, "rate": 300, "seconds": 3} | more))


@pytest.mark.parametrize("rate", [300.0, None], ids=["paced", "highest"])
def test_a_run_in_which_nothing_moves_counts_nothing(any_world, rate):
    channel = any_world.channel(partitions=4)
    any_world.write(channel, [b"of somebody else"] * 50)
    settings = any_world.settings()
    load = small(rate=rate, calibration=2.0, lead=4000, keys=20)
    certificate = verify_move([channel], settings, settings | {"client_config": QUICK}, load)
    assert certificate.breaches(CLEAN) == []
    assert certificate.sent == certificate.delivered > 500
    assert [group["read"] for group in certificate.groups] == [certificate.sent]
    assert certificate.notes == []


@pytest.mark.kafka
def test_the_command_certifies_a_move(real_world, tmp_path):
    new = real_world.clusters[1].new_topic(4)
    channel = real_world.channel(0, partitions=4)
    settings = real_world.settings()
    config = tmp_path / "kafkaroute.toml"
    user, password = settings["basic_auth"]
    config.write_text(
        f'service_gateway_uri = "{settings["service_gateway_uri"]}"\n'
        f'basic_auth = ["{user}", "{password}"]\n'
        f'backend = "{real_world.backend}"\nconfig_profile = "default"\n'
        "ttl = 1\nmove_window = 1\nmove_linger = 2\n"
    )
    svg, out = tmp_path / "move.svg", tmp_path / "move.json"
    command = [sys.executable, "-m", "kafkaroute.cli", "verify-move", channel]
    command += ["--config", str(config), "--producers", "2", "--groups", "1", "--members", "1"]
    command += ["--rate", "200", "--seconds", "9", "--keys", "20"]
    command += ["--json", str(out), "--svg", str(svg), "--bound-consumer-pause", "30"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "move kafka://" in process.stdout.readline()
        real_world.stub.put(channel, topic=new, connection=real_world.connection(1))
        said, errors = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said + errors
    assert "lost                    0\n" in said
    assert password not in said + errors
    assert f"left from {real_world.where[channel][1]} at " in said
    found = json.loads(out.read_text())
    assert found["lost"] == found["reordered"] == found["unreported"] == 0
    assert real_world.landed_in(1, new)
    texts = {element.text for element in ET.fromstring(svg.read_text()).iter()}
    assert {"producer: released", "consumer: left"} <= texts


@pytest.mark.kafka
def test_the_command_fails_where_a_bound_does_not_hold(real_world):
    channel = real_world.channel(partitions=2)
    settings = real_world.settings()
    command = [sys.executable, "-m", "kafkaroute.cli", "verify-move", channel]
    command += ["--catalog", settings["service_gateway_uri"], "--producers", "1", "--groups", "1"]
    command += ["--members", "1", "--seconds", "1", "--bound-consumer-pause", "0.0001"]
    environment = {
        "KAFKAROUTE_BASIC_AUTH": ":".join(settings["basic_auth"]),
        "KAFKAROUTE_BACKEND": real_world.backend,
        "KAFKAROUTE_CONFIG_PROFILE": "default",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=90, env=environment
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "kafkaroute: out of bounds: consumer pause: " in done.stderr


@pytest.mark.kafka
def test_a_group_that_reads_nothing_shows_as_lost(real_world):
    """The counters see a consumer that is wrong: one that reads from another topic."""
    channel = real_world.channel(partitions=2)
    elsewhere = real_world.channel(partitions=2)
    settings = real_world.settings()
    load = small(seconds=2, settle=2.0)
    with MoveRun([channel], settings, settings, load) as run:
        start = run._start

        def misled(role, *more):
            if role == "consumer":
                run.channels = [elsewhere]
            worker = start(role, *more)
            run.channels = [channel]
            return worker

        run._start = misled
        run.start()
        run.sleep(2)
        certificate = run.finish()
    assert certificate.lost == certificate.delivered > 0
    assert certificate.breaches(Bounds()) == [f"lost: {certificate.lost}, at most 0"]


def test_a_process_that_cannot_work_ends_the_run(world):
    settings = world.settings({"no.such.setting": "1"})
    channel = world.channel()
    with pytest.raises(WorkFailed, match="no.such.setting"):
        verify_move([channel], settings, settings, small())


def test_a_killed_run_leaves_no_process_behind(world, tmp_path):
    """Workers end when the pipe to their run closes."""
    channel = world.channel()
    script = tmp_path / "run.py"
    settings = world.settings()
    script.write_text(
        "import os, sys\n"
        "from kafkaroute.verify import Load, MoveRun\n"
        f"settings = {settings!r}\n"
        "run = MoveRun([sys.argv[1]], settings, settings, Load(producers=1, groups=1, members=1))\n"
        "run.start()\n"
        "print(*(w._process.pid for w in run._everybody()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), channel],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr

    def gone():
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    world.wait(gone, 30, "the end of the workers")
