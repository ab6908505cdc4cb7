"""Lua patterns as RE2 expressions. The answers are those of LuaJIT 2.1's string.find."""

from __future__ import annotations

import pytest
import re2

from kafkaroute.cli.kong.lua_patterns import LuaPatternError, to_re2

CASES = [
    # Anchors: a pattern searches anywhere unless it says otherwise.
    ("", "/bar", True),
    ("^", "/bar", True),
    ("$", "/bar", True),
    ("^$", "", True),
    ("^$", "x", False),
    ("bar", "/foo/bar/baz", True),
    ("bar", "/foo", False),
    ("^/bar", "/bar/baz", True),
    ("^/bar", "/foo/bar", False),
    ("bar$", "/foo/bar", True),
    ("bar$", "/bar/foo", False),
    ("^/bar$", "/bar", True),
    ("^/bar$", "/bars", False),
    ("a^b", "a^b", True),
    ("a$b", "a$b", True),
    ("a$b", "ab", False),
    ("^^a", "^a", True),
    ("a%$", "a$", True),
    ("a%$", "a", False),
    ("%^a", "x^a", True),
    # The dot, and its escape.
    ("example.com", "exampleXcom", True),
    ("example%.com", "exampleXcom", False),
    ("^example%.com$", "example.com", True),
    ("^example%.com$", "example.com.evil.net", False),
    ("^example%.com", "example.com.evil.net", True),
    ("example%.com$", "notexample.com", True),
    # Classes and their complements.
    ("^%a+$", "abcXYZ", True),
    ("^%a+$", "abc1", False),
    ("^%A+$", "123-", True),
    ("^%A+$", "12a", False),
    ("^%d+$", "0123", True),
    ("^%d+$", "12x", False),
    ("^%D$", "x", True),
    ("^%D$", "7", False),
    ("^%w+$", "abc123", True),
    ("^%w+$", "a_b", False),
    ("^%W$", "_", True),
    ("^%W$", "a", False),
    ("^%s$", " ", True),
    ("^%s$", "x", False),
    ("^%S+$", "abc", True),
    ("^%S+$", "a b", False),
    ("^%p$", "_", True),
    ("^%p$", "~", True),
    ("^%p$", "a", False),
    ("^%P+$", "abc", True),
    ("^%P+$", "a-c", False),
    ("^%x+$", "09afAF", True),
    ("^%x+$", "fg", False),
    ("^%X$", "g", True),
    ("^%u%l+$", "Orders", True),
    ("^%u%l+$", "orders", False),
    ("^%U$", "a", True),
    ("^%L$", "a", False),
    ("^%c$", "a", False),
    ("^%C$", "a", True),
    ("^%g+$", "a!~", True),
    ("^%g$", " ", False),
    ("^%y%-%%$", "y-%", True),
    # Quantifiers: - is a lazy *, and none applies to a group.
    ("^a*$", "", True),
    ("^a*$", "aaa", True),
    ("^a+$", "", False),
    ("^a+$", "aa", True),
    ("^a-$", "aaa", True),
    ("^a-$", "aab", False),
    ("^a?b$", "b", True),
    ("^a?b$", "aab", False),
    ("^/.-/orders$", "/a/b/orders", True),
    ("^/.-/orders$", "/orders", False),
    ("^/.+/orders$", "/a/orders", True),
    ("*a", "*a", True),
    ("^*a$", "*a", True),
    ("^+$", "+", True),
    ("^-$", "-", True),
    ("^a**$", "aa*", True),
    ("^a+?$", "a?", True),
    ("^a+?$", "a", False),
    ("^(ab)*$", "ab*", True),
    ("^(ab)*$", "abab", False),
    ("^(ab)-c$", "ab-c", True),
    ("^%d-x$", "12x", True),
    ("^%.*$", "...", True),
    # Sets.
    ("^[abc]+$", "cab", True),
    ("^[abc]+$", "cad", False),
    ("^[^abc]+$", "xyz", True),
    ("^[^abc]+$", "xaz", False),
    ("^/[a-z]+$", "/orders", True),
    ("^/[a-z]+$", "/Orders", False),
    ("^[%w_-]+$", "a_b-c1", True),
    ("^[%w_-]+$", "a.b", False),
    ("^[a-]+$", "a-a", True),
    ("^[-a]+$", "-a", True),
    ("^[a%-z]+$", "a-z", True),
    ("^[a%-z]+$", "b", False),
    ("^[]]$", "]", True),
    ("^[]x]+$", "x]", True),
    ("^[^]]$", "]", False),
    ("^[^]]$", "a", True),
    ("^[%]]$", "]", True),
    ("^[a^]+$", "^a", True),
    ("^[.]$", ".", True),
    ("^[.]$", "x", False),
    ("^[$*+?]+$", "$*+?", True),
    ("^[[]$", "[", True),
    ("^[\\]$", "\\", True),
    ("^[%a-z]+$", "A-z", True),
    ("^[%W_]+$", "_-", True),
    ("^[%W_]+$", "a", False),
    ("^[^%W]+$", "ab1", True),
    ("^[^%s/]+$", "abc", True),
    ("^[^%s/]+$", "a/c", False),
    ("^[z-a]$", "m", False),
    ("^[^z-a]$", "m", True),
    ("^[0-9a-fA-F]+$", "fF0", True),
    ("^/t[0-9]+/", "/t12/orders", True),
    ("^/t[0-9]+/", "/tx/orders", False),
    # Characters that mean something to RE2 alone.
    ("^a|b$", "a|b", True),
    ("^a|b$", "a", False),
    ("^a{2}$", "a{2}", True),
    ("^a{2}$", "aa", False),
    ("^\\d$", "\\d", True),
    ("^\\d$", "1", False),
    # Captures.
    ("^/(%a+)/(%d+)$", "/orders/12", True),
    ("^/(%a+)/(%d+)$", "/orders/x", False),
    ("^()/bar()$", "/bar", True),
    ("^/((a)(b))$", "/ab", True),
]


@pytest.mark.parametrize(("pattern", "subject", "matches"), CASES)
def test_translation(pattern, subject, matches):
    expression = to_re2(pattern)
    assert (re2.fullmatch(expression, subject) is not None) is matches, expression


def test_the_table_is_large_enough():
    assert len(CASES) == len(set(CASES)) >= 60
    assert {matches for *_, matches in CASES} == {True, False}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("^%b()$", "%b"),
        ("%f[%w]bar", "%f"),
        ("^(a)%1$", "refers back"),
        ("[abc", "not closed"),
        ("[]", "not closed"),
        ("[%", "not closed"),
        ("bar%", "ends with '%'"),
        ("(bar", "not closed"),
        ("bar)", "not opened"),
        ("[a-%%]", "ends with '%'"),
        ("\u00fc*", "quantifier"),
        ("[\u00fc]", "counts bytes"),
    ],
)
def test_what_needs_a_hand(pattern, reason):
    with pytest.raises(LuaPatternError) as caught:
        to_re2(pattern)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [
        ("", ".*"),
        ("^/bar$", "/bar"),
        ("^example%.com$", r"example\.com"),
        ("^/c1/", "/c1/.*"),
        ("/c1/", ".*/c1/.*"),
        ("^/.-/x.*$", "/.*/x.*"),
        (".*x%.*", r".*x\.*.*"),
    ],
)
def test_expressions_stay_readable(pattern, expression):
    assert to_re2(pattern) == expression
