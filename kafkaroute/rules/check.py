"""Everything that is wrong with a rules file, and what is probably not meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import ConfigurationError
from .loader import read_rules
from .model import Rules
from .profile_settings import ChecksSettings, check_profiles
from .warnings import warn_about
from .yaml_nodes import Node, parse

__all__ = ["Checked", "check_rules"]


class Checked(NamedTuple):
    """What was found, as ``file:line: path: message`` and in the file's order.

    `rules` is None where there are problems; `warnings` are looked for only in a sound file.
    """

    rules: Rules | None
    problems: list[str]
    warnings: list[str]


class _Told:
    """Messages about places: each once, by line."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def tell(self, node: Node, message: str) -> None:
        self._lines.setdefault(str(node.problem(message)), node.line)

    def texts(self) -> list[str]:
        return sorted(self._lines, key=lambda text: self._lines[text])


def check_rules(
    text: str,
    file: str,
    environ: Mapping[str, str],
    backends: Sequence[ChecksSettings] = (),
) -> Checked:
    """Check the rules in `text`.

    Args:
        file: the name used in messages.
        environ: where secret references are looked for.
        backends: look into the profiles.
    """
    try:
        root = parse(text, file)
    except ConfigurationError as error:
        return Checked(None, [str(error)], [])
    rules, problems = read_rules(root)
    if rules is None:
        return Checked(None, problems, [])
    refused, warned = _Told(), _Told()
    check_profiles(root, rules, backends, refused.tell, warned.tell)
    if problems := refused.texts():
        return Checked(None, problems, [])
    warn_about(root, rules, environ, warned.tell)
    return Checked(rules, [], warned.texts())
