"""The one-line Lua functions of the service-gateway plug-in, read as lists of pieces.

``function(uri) return 'c1' .. uri.path[1] end`` is ``['c1', ('segment', 1)]``. Nothing is run.
"""

from __future__ import annotations

import re

__all__ = ["LuaFunctionError", "Piece", "pieces", "template"]

#: Literal text, or what is taken from the channel: ("segment", N), ("host", 0), ("scheme", 0).
Piece = str | tuple[str, int]

_FUNCTION = re.compile(
    r"\s*(?:return\s+)?function\s*\(\s*([A-Za-z_]\w*)?\s*\)\s*return\b(.*?);?\s*\bend\s*;?\s*",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<concat>\.\.)"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|\[\[.*?\]\])"
    r"|(?P<place>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*|\s*\[\s*(?:#?[\w.\s]+|'\w+'|\"\w+\")\])*))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_ESCAPES = frozenset("\\'\"")


class LuaFunctionError(ValueError):
    """The function cannot be translated; the text says why."""


def pieces(source: str) -> list[Piece]:
    """What the function `source` joins, neighbouring literals as one.

    Raises:
        LuaFunctionError: it does more than join literals and parts of its argument.
    """
    function = _FUNCTION.fullmatch(source)
    if function is None:
        raise LuaFunctionError("not of the form `function(uri) return … end`")
    argument, expression = function.groups()
    found: list[Piece] = []
    depth, position, expecting = 0, 0, True
    expression = expression.rstrip()
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        kind = token.lastgroup if token is not None else None
        # `(`, literals and places stand where a value is due; `)` and `..` behind one.
        if token is None or kind is None or (kind in {"concat", "close"}) is expecting:
            raise LuaFunctionError(f"cannot read it from {_short(expression[position:])} on")
        position = token.end()
        if kind == "concat":
            expecting = True
        elif kind in {"open", "close"}:
            depth += 1 if kind == "open" else -1
            if depth < 0:
                raise LuaFunctionError("a ')' too many")
        else:
            value = token.group(kind)
            piece = _literal(value) if kind == "text" else _place(value, argument)
            if isinstance(piece, str) and found and isinstance(found[-1], str):
                found[-1] += piece
            else:
                found.append(piece)
            expecting = False
    if expecting or depth:
        raise LuaFunctionError("its expression is not complete")
    return found


def template(made: list[Piece]) -> str:
    """The rules file's template for `made`.

    Raises:
        LuaFunctionError: a literal holds a brace, which no topic name can.
    """
    if any(isinstance(piece, str) and set(piece) & {"{", "}"} for piece in made):
        raise LuaFunctionError("a literal holds a brace")
    return "".join(piece if isinstance(piece, str) else _placeholder(piece) for piece in made)


def _placeholder(piece: tuple[str, int]) -> str:
    kind, number = piece
    return f"{{segment:{number}}}" if kind == "segment" else f"{{{kind}}}"


def _literal(token: str) -> str:
    if token.startswith("[["):
        return token[2:-2].removeprefix("\n")
    text = token[1:-1]
    if any(char not in _PLAIN_ESCAPES for char in _ESCAPE.findall(text)):
        raise LuaFunctionError(f"an escape sequence in {_short(token)}")
    return _ESCAPE.sub(r"\1", text)


def _place(token: str, argument: str | None) -> Piece:
    plain = re.sub(r"\s+", "", token)
    plain = re.sub(r"\[['\"](\w+)['\"]\]", r".\1", plain)
    name = re.escape(argument or "")
    if not argument or not re.match(rf"{name}(?![A-Za-z0-9_])", plain):
        raise LuaFunctionError(f"{_short(token)} is no part of its argument")
    rest = plain[len(argument) :]
    if rest in {".scheme", ".host"}:
        return (rest[1:], 0)
    if rest == f".path[#{argument}.path]":
        return ("segment", -1)
    if segment := re.fullmatch(r"\.path\[([1-9][0-9]{0,3})\]", rest):
        return ("segment", int(segment.group(1)))
    if rest.startswith(".query"):
        raise LuaFunctionError("it uses the channel's query, which rules do not see")
    raise LuaFunctionError(f"{_short(token)} is not known here")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 40 else line[:37] + "...")
