"""What the watchdog guards does not outlive its owner, however the owner ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kafkaroute.testing.watchdog import Watchdog

OWNER = """
import subprocess, sys, time
from kafkaroute.testing.watchdog import Watchdog
dog = Watchdog()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                         start_new_session=True)
dog.guard_process(child.pid)
dog.guard_folder(sys.argv[1])
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_killed_owner_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "log").write_text("x")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        child = int(owner.stdout.readline())
        assert is_running(child)
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(child))
    wait_until(lambda: not folder.exists())


def test_what_was_released_is_left_alone(tmp_path):
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    kept.mkdir()
    removed.mkdir()
    dog = Watchdog()
    dog.guard_folder(str(kept))
    dog.guard_folder(str(removed))
    dog.release_folder(str(kept))
    dog.close()
    assert kept.exists()
    assert not removed.exists()


def test_closing_twice_or_unused_is_fine():
    dog = Watchdog()
    dog.close()
    dog.guard_process(os.getpid())
    dog.release_process(os.getpid())
    dog.close()
    dog.close()
