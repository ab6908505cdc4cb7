"""A backend's tests cannot drop or override a standard test without a reason."""

import os
import subprocess
import sys

import pytest

from kafkaroute.testing.conformance import BackendConformance, deviates
from kafkaroute.testing.conformance.guard import (
    check_subclass,
    check_themes,
    deviations,
    standard_tests,
)

# Collected as part of this module otherwise.
BackendConformance.__test__ = False


def make(name="OfAcme", bases=(BackendConformance,), **attributes):
    return type(name, bases, {"__test__": False, **attributes})


def replacement(self):
    """A test that says nothing."""


def test_a_plain_subclass_is_fine():
    check_subclass(BackendConformance, make(backend="acme"))


def test_tests_may_be_added():
    check_subclass(BackendConformance, make(test_own=replacement))


def test_an_override_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"OfAcme overrides .*test_full_queue_is.*@deviates"):
        make(test_full_queue_is_a_buffer_error_and_recovers=replacement)


def test_dropping_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"OfAcme drops .*test_explicit_partition"):
        make(test_explicit_partition=None)


def test_the_guard_itself_cannot_be_dropped():
    with pytest.raises(TypeError, match="test_no_test_is_dropped_or_overridden"):
        make(test_no_test_is_dropped_or_overridden=None)


def test_an_override_by_a_mixin_is_refused():
    mixin = type("Mixin", (), {"test_explicit_partition": replacement})
    with pytest.raises(TypeError, match="test_explicit_partition"):
        make(bases=(mixin, BackendConformance))


def test_an_override_by_a_grandchild_is_refused():
    with pytest.raises(TypeError, match="test_explicit_partition"):
        make(bases=(make(),), test_explicit_partition=replacement)


def test_an_override_with_a_reason_is_told():
    marked = deviates("Acme has one partition")(replacement)
    subclass = make(test_explicit_partition=marked)
    assert deviations(BackendConformance, subclass) == {
        "test_explicit_partition": "Acme has one partition"
    }
    subclass.test_no_test_is_dropped_or_overridden(subclass())


@pytest.mark.parametrize("reason", ["", "  ", None, replacement])
def test_a_reason_is_needed(reason):
    with pytest.raises(ValueError, match="reason"):
        deviates(reason)


def test_what_is_dropped_later_is_found_by_a_test():
    subclass = make()
    subclass.test_explicit_partition = None
    with pytest.raises(TypeError, match="test_explicit_partition"):
        subclass.test_no_test_is_dropped_or_overridden(subclass())


def test_no_theme_hides_a_test_of_another():
    written = [
        name
        for base in BackendConformance.__mro__
        for name in vars(base)
        if name.startswith("test_")
    ]
    assert sorted(written) == list(standard_tests(BackendConformance))
    assert len(written) > 150
    twice = type("Twice", (type("Other", (), {"test_x": replacement}),), {"test_x": replacement})
    with pytest.raises(TypeError, match="Twice and Other both have test_x"):
        check_themes(twice)


SUITE = """
import pytest
from kafkaroute.testing.conformance import BackendConformance, deviates

class TestAcme(BackendConformance):
    backend = "acme"

    {test}
"""


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("test_explicit_partition = None", "TestAcme drops the standard test"),
        (
            "@deviates('one partition is all it has')\n    def test_explicit_partition(self): pass",
            "kafkaroute: deviates from the suite: TestAcme.test_explicit_partition: one partition",
        ),
    ],
    ids=["dropped", "with a reason"],
)
def test_pytest_shows_it(tmp_path, test, expected):
    (tmp_path / "test_acme.py").write_text(SUITE.format(test=test))
    command = [sys.executable, "-m", "pytest", "-p", "kafkaroute.testing.plugin", "-q"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    command += ["-k", "dropped_or_overridden"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert expected in done.stdout
    assert (done.returncode == 0) == ("deviates" in expected), done.stdout
