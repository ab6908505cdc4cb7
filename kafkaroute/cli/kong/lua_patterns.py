"""Lua patterns translated to RE2 expressions (for ``kafkaroute import-kong``).

Lua searches anywhere unless a pattern is anchored, our rules match the whole part; the
translation makes up for it. Semantics: Lua 5.1's reference manual, section 5.4.1, as LuaJIT
implements it (``%g`` is known, ``%z`` is NUL, classes are ASCII's).
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LuaPatternError", "to_re2"]

_ASCII = range(128)
_META = frozenset("\\.+*?()|[]{}^$")
_QUANTIFIERS = {"*": "*", "+": "+", "-": "*", "?": "?"}
_CLASSES: dict[str, frozenset[int]] = {
    "a": frozenset(c for c in _ASCII if chr(c).isalpha()),
    "c": frozenset(c for c in _ASCII if c < 32 or c == 127),
    "d": frozenset(c for c in _ASCII if chr(c).isdigit()),
    "g": frozenset(range(33, 127)),
    "l": frozenset(c for c in _ASCII if chr(c).islower()),
    "p": frozenset(c for c in range(33, 127) if not chr(c).isalnum()),
    "s": frozenset({9, 10, 11, 12, 13, 32}),
    "u": frozenset(c for c in _ASCII if chr(c).isupper()),
    "w": frozenset(c for c in _ASCII if chr(c).isalnum()),
    "x": frozenset(ord(c) for c in "0123456789abcdefABCDEF"),
    "z": frozenset({0}),
}
#: Stands for everything that is not ASCII.
_BEYOND = 0x80
_ANYTHING = ".*"
_NOTHING = r"[^\x00-\x{10FFFF}]"


class LuaPatternError(ValueError):
    """The pattern cannot be translated; the text says why."""


def to_re2(pattern: str) -> str:
    """The RE2 expression that matches a whole text where Lua finds `pattern` in it.

    A channel's parts hold no line breaks, so ``.`` stays ``.``.

    Raises:
        LuaPatternError: malformed, or beyond regular expressions (``%b``, ``%f``, ``%1``).
    """
    anchored = pattern.startswith("^")
    body = _Translation(pattern, 1 if anchored else 0)
    expression = body.run()
    before = "" if anchored or expression.startswith(_ANYTHING) else _ANYTHING
    ends_open = expression.endswith(_ANYTHING) and not expression.endswith("\\" + _ANYTHING)
    after = "" if body.anchored_at_end or ends_open else _ANYTHING
    if before and not expression:
        after = ""
    return f"{before}{expression}{after}" or "(?:)"


class _Translation:
    """One pass over a pattern."""

    def __init__(self, pattern: str, start: int) -> None:
        self.pattern = pattern
        self.position = start
        self.anchored_at_end = False
        self._open = 0

    def run(self) -> str:
        made: list[str] = []
        while self.position < len(self.pattern):
            made.append(self._item())
        if self._open:
            raise LuaPatternError("malformed: a capture is not closed")
        return "".join(made)

    def _item(self) -> str:
        char = self.pattern[self.position]
        if char == "(":
            self._open += 1
            self.position += 1
            return "(?:"
        if char == ")":
            if not self._open:
                raise LuaPatternError("malformed: a capture is closed that was not opened")
            self._open -= 1
            self.position += 1
            return ")"
        if char == "$" and self.position == len(self.pattern) - 1:
            self.anchored_at_end = True
            self.position += 1
            return ""
        single = self._single()
        following = self.pattern[self.position : self.position + 1]
        if following not in _QUANTIFIERS:
            return single
        if not char.isascii():
            raise LuaPatternError(f"a quantifier after {char!r} (Lua counts bytes)")
        self.position += 1
        return single + _QUANTIFIERS[following]

    def _single(self) -> str:
        char = self.pattern[self.position]
        self.position += 1
        if char == ".":
            return "."
        if char == "[":
            return self._set()
        if char != "%":
            return _literal(char)
        if self.position == len(self.pattern):
            raise LuaPatternError("malformed: ends with '%'")
        escaped = self.pattern[self.position]
        self.position += 1
        if escaped in "bf":
            raise LuaPatternError(f"%{escaped} has no counterpart in regular expressions")
        if escaped.isascii() and escaped.isdigit():
            raise LuaPatternError(f"%{escaped} refers back to a capture, which RE2 cannot")
        if escaped.lower() in _CLASSES:
            return _render(_CLASSES[escaped.lower()], negated=escaped.isupper())
        return _literal(escaped)

    def _set(self) -> str:
        """A set, from behind its ``[``; a ``]`` right at its start is a member of it."""
        negated = self.pattern[self.position : self.position + 1] == "^"
        self.position += negated
        start = self.position
        members: set[int] = set()
        while True:
            char = self._next_in_set()
            if char == "]" and self.position - 1 > start:
                return _render(members, negated=negated)
            if char == "%":
                members |= self._escaped_in_set(self._next_in_set())
                continue
            low = high = _code(char)
            following = self.pattern[self.position : self.position + 2]
            if following[:1] == "-" and following[1:] not in {"", "]"}:
                if following[1] == "%":
                    raise LuaPatternError("a range in a set ends with '%'")
                high = _code(following[1])
                self.position += 2
            members |= set(range(low, high + 1))

    def _next_in_set(self) -> str:
        if self.position >= len(self.pattern):
            raise LuaPatternError("malformed: a set is not closed by ']'")
        self.position += 1
        return self.pattern[self.position - 1]

    @staticmethod
    def _escaped_in_set(escaped: str) -> set[int] | frozenset[int]:
        members = _CLASSES.get(escaped.lower())
        if members is None:
            return {_code(escaped)}
        return {*_ASCII, _BEYOND} - members if escaped.isupper() else members


def _code(char: str) -> int:
    if not char.isascii():
        raise LuaPatternError(f"{char!r} inside a set (Lua counts bytes)")
    return ord(char)


def _literal(char: str) -> str:
    return f"\\{char}" if char in _META else _shown(ord(char))


def _shown(code: int) -> str:
    return f"\\x{code:02x}" if code < 33 or code == 127 else chr(code)


def _render(members: Iterable[int], *, negated: bool) -> str:
    """A character class of RE2 in its shortest form."""
    codes = sorted(members)
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    made = []
    for first, last in runs:
        end = 0x10FFFF if last == _BEYOND else last
        ends = [_in_class(code) for code in sorted({first, end})]
        made.append(("-" if end - first > 1 else "").join(ends))
    if not made:
        return r"[\x00-\x{10FFFF}]" if negated else _NOTHING
    return f"[{'^' if negated else ''}{''.join(made)}]"


def _in_class(code: int) -> str:
    if code >= _BEYOND:
        return f"\\x{{{code:x}}}"
    return f"\\{chr(code)}" if chr(code) in "\\]^-[" else _shown(code)
