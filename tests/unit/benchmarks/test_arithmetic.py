"""The benchmark suite's own arithmetic: spreads, what may be compared, what counts as worse."""

import time
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from benchmarks.suite import table
from benchmarks.suite.__main__ import main
from benchmarks.suite.builder import per_call_figure, rate_figure
from benchmarks.suite.compare import compare
from benchmarks.suite.figure import Figure, Result
from benchmarks.suite.plot import draw
from benchmarks.suite.publish import between
from benchmarks.suite.runs import BrokenMeasurement, Clock, Sample, check, interleaved
from benchmarks.suite.spread import Spread, ratios, spread


def figure(median, *, better="lower", name="f", **more):
    ratio = Spread(median, median - 0.1, median + 0.1, 5)
    return Figure("g", name, "ns", Spread(100, 90, 110, 5), better=better, ratio=ratio, **more)


def result(*figures):
    return Result({"python": "3"}, list(figures), {"peer": "is not installed"})


def test_quartiles_are_of_the_values_themselves():
    assert spread([4, 1, 3, 2, 5]) == Spread(3, 2, 4, 5)
    assert spread([7]) == Spread(7, 7, 7, 1)
    with pytest.raises(ValueError, match="no runs"):
        spread([])


def test_ratios_are_of_neighbours_not_of_medians():
    # The machine became ten times slower after two rounds: the ratio is 2 all the same.
    assert ratios([2, 2, 20], [1, 1, 10]) == Spread(2, 2, 2, 3)
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_sides_take_turns_and_warm_ups_do_not_count():
    calls = []

    def side(name):
        def run():
            calls.append(name)
            return Sample(rate=len(calls))

        return run

    taken = interleaved(2, {"a": side("a"), "b": side("b")}, warm_ups=1)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert [it.rate for it in taken["a"]] == [3, 6]
    assert [it.rate for it in taken["b"]] == [4, 5]


def test_a_clock_counts_calls_apart_from_delivery_and_sees_other_threads_work():
    with Clock.running() as clock:
        clock.lap()
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
    sample = clock.sample(10)
    assert sample.per_call < 1e6 / 2
    assert 0.01 <= sample.cpu * 10 < 1
    assert 0 < sample.rate <= 1000
    assert sample.collections == 0


def test_collections_are_noted():
    import gc

    with Clock.running() as clock:
        gc.collect()
    assert clock.sample(1).collections == 1


def test_a_broken_measurement_ends_the_run():
    check(True, "fine")
    with pytest.raises(BrokenMeasurement, match="3 messages"):
        check(0, "3 messages were not delivered")


def test_figures_of_samples():
    ours = [Sample(rate=50, per_call=30, cpu=3, collections=1)] * 3
    bare = [Sample(rate=100, per_call=20, cpu=2)] * 3
    calls = per_call_figure("g", "n", ours, bare, goal=1.4)
    assert calls.ratio == Spread(1.5, 1.5, 1.5, 3)
    assert calls.reached is False
    assert calls.collections == 3
    rate = rate_figure("g", "n", ours, bare, goal=0.4)
    assert rate.ratio.median == 0.5
    assert rate.cpu.median == 1.5
    assert rate.better == "higher"
    assert rate.reached is True


def test_a_figure_without_a_goal_is_neither_reached_nor_missed():
    assert figure(9).reached is None


def test_a_result_survives_its_file(tmp_path):
    one = result(
        figure(1.2, goal=1.1, cpu=Spread(1, 1, 1, 1)), figure(1, better="higher", name="x")
    )
    one.write(tmp_path / "deep" / "r.json")
    assert Result.read(tmp_path / "deep" / "r.json") == one


@pytest.mark.parametrize(
    ("better", "before", "after", "worse"),
    [
        ("lower", 1.0, 1.2, 1.2),
        ("lower", 1.2, 1.0, 1 / 1.2),
        ("higher", 3.0, 1.5, 2.0),
        ("higher", 1.5, 3.0, 0.5),
        ("lower", 0.0, 0.0, 1.0),
        ("lower", 0.0, 0.1, float("inf")),
    ],
)
def test_worse_is_a_matter_of_direction(better, before, after, worse):
    [change] = compare(result(figure(before, better=better)), result(figure(after, better=better)))
    assert change.worse == pytest.approx(worse)
    assert change.exceeds(1.1) is (worse > 1.1)


def test_a_figure_that_is_gone_is_worse_and_a_new_one_is_no_matter():
    changes = compare(
        result(figure(1), figure(1, name="gone")), result(figure(1), figure(5, name="new"))
    )
    assert [(it.key, it.exceeds(1000)) for it in changes] == [("g: gone", True), ("g: f", False)]


def test_the_check_fails_beyond_the_bound_that_the_user_gives(tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    result(figure(1.0)).write(old)
    result(figure(1.08)).write(new)
    assert main(["compare", str(old), str(new), "--bound", "1.10"]) == 0
    assert main(["compare", str(old), str(new), "--bound", "1.05"]) == 1
    assert "WORSE g: f: 1 → 1.08" in capsys.readouterr().out
    for bound in ("0.9", "nan"):
        with pytest.raises(SystemExit):
            main(["compare", str(old), str(new), "--bound", bound])


def test_a_picture_has_a_mark_for_each_ratio_and_for_its_goal():
    shown = figure(1.5, goal=1.1, name="a < b")
    svg = draw("t & t", [shown, figure(0.5, name="c"), Figure("g", "no ratio", "", spread([1]))])
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    circles = root.findall(f"{space}circle")
    assert len(circles) == 2
    assert float(circles[0].get("cx")) > float(circles[1].get("cx"))
    texts = [it.text for it in root.findall(f"{space}text")]
    assert "a < b" in texts
    assert "1.50 (≤ 1.1)" in texts
    goals = [it for it in root.findall(f"{space}line") if it.get("stroke") == "#1a7f37"]
    assert len(goals) == 1
    assert float(goals[0].get("x1")) < float(circles[0].get("cx"))


def test_tables_say_what_was_missed_and_what_was_not_measured():
    text = table.whole(result(figure(1.2, goal=1.1, note="why"), figure(1.0, goal=1.1, name="x")))
    assert "| f | 1.20 (1.10–1.30) | ≤ 1.1 **missed** | 100 ns |" in text
    assert "≤ 1.1 reached" in text
    assert "- f: why" in text
    assert "- peer: is not installed" in text


def test_the_readme_shows_three_figures():
    shown = ("produce: value, key=", "consume: poll() loop, value()")
    figures = [
        replace(figure(1.2, goal=1.1), group=g, name=n) for g, n in (k.split(": ") for k in shown)
    ]
    text = table.main_figures(result(*figures, figure(1.0, goal=1.1)))
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [f"| {key}" for key in shown]


def test_publishing_replaces_what_is_between_the_marks_and_nothing_else():
    document = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert between(document, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="no marks"):
        between(document, "y", "new")
