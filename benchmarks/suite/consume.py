"""confluent-kafka: poll() in a loop, and consume(500)."""

from __future__ import annotations

from functools import partial

from .builder import per_call_figure
from .consuming import Filled, consume_batches, poll_loop
from .runs import interleaved
from .setting import Setting

__all__ = ["measure"]


def measure(setting: Setting) -> None:
    filled = Filled(setting, setting.count(80_000), "confluent-kafka")
    for name, read, goal in (
        ("poll() loop, value()", poll_loop, 1.15),
        ("consume(500), value()", consume_batches, 1.30),
    ):
        sides = {
            "bare": partial(filled.run, filled.bare, read),
            "ours": partial(filled.run, filled.routed, read),
        }
        taken = interleaved(setting.rounds(8), sides)
        setting.result.figures.append(
            per_call_figure(
                "consume",
                name,
                taken["ours"],
                taken["bare"],
                goal=goal,
                against="confluent-kafka",
                note="ns a message, out of what was fetched ahead",
            )
        )
