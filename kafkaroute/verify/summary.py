"""From the records of a run's processes to its certificate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from .certificate import Certificate, Mark
from .counting import GroupCount, Pause, ProducerRecord, by_time, count_group
from .load import Load
from .payload import key_range
from .process import Worker
from .readings import read_batches

__all__ = ["summarize"]


class FinishedRun(Protocol):
    """What is counted of a run (see :class:`.run.MoveRun`)."""

    channels: list[str]
    load: Load
    marks: list[Mark]
    members: list[list[Worker]]
    news: list[tuple[Worker, dict[str, Any]]]
    producers: list[Worker]
    rate: float
    started: float
    title: str

    def file_of(self, name: str, kind: str) -> Path: ...


def summarize(run: FinishedRun, stopped: float) -> Certificate:
    """Count what `run`, whose load was stopped at `stopped`, left behind."""
    records = [_record(run, worker) for worker in run.producers]
    partitions = (run.producers[0].ready or {})["partitions"]
    ranges = []
    for key in range(run.load.keys):
        channel = run.channels[key % len(run.channels)]
        part = key_range(key, partitions[channel])
        ranges.append(f"{channel.rpartition('/')[2]} keys of partition {part}")
    groups = []
    for members in run.members:
        files = [
            read_batches(run.file_of(member.name, "out"), number)
            for number, member in enumerate(members)
        ]
        places = _places(run, members)
        groups.append(count_group(records, by_time(files), ranges, places, run.started))
    return _certificate(run, stopped, records, groups)


def _record(run: FinishedRun, worker: Worker) -> ProducerRecord:
    done = worker.done or {}
    seconds, at = done["pause"]
    return ProducerRecord(
        worker.spec["number"],
        run.file_of(worker.name, "out").read_bytes(),
        done["topics"],
        done["twice"],
        Pause(seconds, at, worker.name),
    )


def _places(run: FinishedRun, members: list[Worker]) -> list[list[int]]:
    """For each member the run's number of each of its places."""
    names: dict[str, int] = {}
    found: list[list[int]] = [[] for _ in members]
    for worker, said in run.news:
        if said["is"] == "place" and worker in members:
            codes = found[members.index(worker)]
            codes += [255] * (said["code"] + 1 - len(codes))
            codes[said["code"]] = names.setdefault(said["name"], len(names))
    return found


def _certificate(
    run: FinishedRun, stopped: float, records: list[ProducerRecord], groups: list[GroupCount]
) -> Certificate:
    began = run.started
    backend = run.producers[0].ready or {}
    found = Certificate(
        run.title,
        backend=str(backend.get("backend", "")),
        rate=round(run.rate, 1),
        seconds=round(stopped - began, 2),
        sent=sum(len(record.states) for record in records),
        delivered=sum(record.delivered for record in records),
        failed=sum(record.failed for record in records),
        unreported=sum(record.unreported for record in records),
        reported_twice=sum(record.twice for record in records),
        lost=sum(group.lost for group in groups),
        written_twice=sum(group.written_twice for group in groups),
        read_again=sum(group.read_again for group in groups),
        reordered=sum(group.reordered for group in groups),
        reordered_late=sum(group.reordered_late for group in groups),
        late=sum(group.late for group in groups),
        producer_pause=_longest([record.pause for record in records], began),
        consumer_pause=_longest(
            [
                Pause(group.pause.seconds, group.pause.at, f"group {number + 1}: {group.pause.who}")
                for number, group in enumerate(groups)
            ],
            began,
        ),
        groups=[_group(group) for group in groups],
        produced=_sum_bins(run.producers),
        consumed=[dict(sorted(group.per_100_ms.items())) for group in groups],
        marks=sorted([*run.marks, *_marks(run)], key=lambda mark: mark.at),
    )
    _say_what_else(found, run, groups)
    return found


def _longest(pauses: list[Pause], began: float) -> tuple[float, float, str]:
    worst = max(pauses, key=lambda pause: pause.seconds)
    return (round(worst.seconds, 3), round(worst.at - began, 3), worst.who)


def _group(group: GroupCount) -> dict[str, Any]:
    return {
        "read": group.read,
        "lost": group.lost,
        "lost_by_topic": dict(group.lost_by_topic),
        "lost_by_range": dict(group.lost_by_range),
        "written_twice": group.written_twice,
        "read_again": group.read_again,
        "reordered": group.reordered,
        "reordered_late": group.reordered_late,
        "late": group.late,
        "pause": round(group.pause.seconds, 3),
        "first_losses": group.first_losses,
        "first_reorderings": group.first_reorderings,
    }


def _sum_bins(producers: list[Worker]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for worker in producers:
        for bin_, count in (worker.done or {})["per_100_ms"]:
            total[bin_] += count
    return dict(sorted(total.items()))


def _marks(run: FinishedRun) -> list[Mark]:
    lanes = {"produce": "producer", "consume": "consumer"}
    return [
        Mark(
            round(said["at"] - run.started, 3),
            lanes[said["intent"]],
            said["phase"],
            worker.name,
            f"{worker.name}: {said['text']}",
        )
        for worker, said in run.news
        if said["is"] == "change"
    ]


def _say_what_else(found: Certificate, run: FinishedRun, groups: list[GroupCount]) -> None:
    changes = [said for _, said in run.news if said["is"] == "change"]
    rescued = sum(said["count"] or 0 for said in changes if said["phase"] == "rescued")
    unexplained = max(0, found.written_twice - rescued * len(groups))
    restless = _restless(run)
    for group, members in zip(groups, run.members, strict=True):
        if group.read_again and not any(member in restless for member in members):
            unexplained += group.read_again
    slowest = [(m.done or {}).get("slowest", 0.0) for members in run.members for m in members]
    found.conclude(rescued=rescued, unexplained=unexplained, slowest=max(slowest, default=0.0))
    told = sum(said["count"] or 0 for said in changes if said["phase"] == "late arrival")
    if told != found.late:
        found.notes.append(f"late: {found.late} counted, {told} told by events")
    for number, group in enumerate(groups, 1):
        _say_of_group(number, group, found)
    for worker in [*run.producers, *(member for group in run.members for member in group)]:
        _say_of(worker, found)
    unread = [said["text"] for said in changes if said["phase"] in {"unread", "uncommitted"}]
    found.notes.extend(sorted(set(unread)))


def _say_of_group(number: int, group: GroupCount, found: Certificate) -> None:
    if group.unknown:
        found.notes.append(f"group {number} read {group.unknown} that nobody accepted")
    if group.first_losses:
        where = f"{dict(group.lost_by_topic)}, {dict(group.lost_by_range)}"
        found.notes.append(f"group {number} never read {where}; {group.first_losses} first")
    if group.first_reorderings:
        found.notes.append(f"group {number} reordered: {group.first_reorderings}")


def _say_of(worker: Worker, found: Certificate) -> None:
    done = worker.done or {}
    for what in ("failures", "refused", "errors"):
        if done.get(what):
            found.notes.append(f"{worker.name} {what}: {done[what]}")
    for failure in done.get("first_failures", ()):
        found.notes.append(f"{worker.name} failed: {failure}")
    if done.get("left"):
        found.notes.append(f"{worker.name}: {done['left']} undelivered after the last flush")
    if done.get("closing", 0) > 5:
        found.notes.append(f"{worker.name} took {done['closing']:.1f} s to close")


def _restless(run: FinishedRun) -> set[Worker]:
    """Members for which it is usual that what they had read is read again: they were killed, lost
    partitions, gave some up without having committed all, or could not commit."""
    found = {
        worker
        for worker, said in run.news
        if said.get("kind") == "lost"
        or (said.get("kind") == "revoked" and worker.spec["commit"] not in {"auto", "store"})
    }
    for group in run.members:
        for member in group:
            errors = (member.done or {}).get("errors", {})
            if member.killed or any("while committing" in error for error in errors):
                found.add(member)
    return found
