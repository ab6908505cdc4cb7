"""Short words for what tests look at."""

import subprocess
import sys
import textwrap


def values(messages):
    return [message.value() for message in messages]


def code_of(caught):
    """Of the KafkaException that pytest.raises() caught."""
    return caught.value.args[0].code()


def run_program(text):
    """How a Python process of its own ends: its status, and what it said; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
