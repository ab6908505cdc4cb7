"""YAML read as nodes, so that an error can name file, line and key path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml

from ..errors import ConfigurationError

__all__ = ["Node", "parse"]

#: libyaml's loader where PyYAML was built with it: ten times faster on large tables.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Aliases can make a small text huge when walked ("billion laughs").
_MAX_BYTES = 64 * 1024 * 1024
#: Characters of a key that an error shows.
_LONGEST_SHOWN = 100
#: Beyond it are numbers that no setting and no JSON reader takes (RFC 8259, section 6).
_INT64 = 2**63
_HALF = re.compile("[\ud800-\udfff]")
_KINDS = {"mapping": "a mapping", "sequence": "a list", "scalar": "a single value"}


class _Unreadable(Exception):
    """A single value that is none."""


class _Document:
    """What all nodes of a text share."""

    __slots__ = ("file", "loader", "pairs")

    def __init__(self, loader: Any, file: str) -> None:
        self.loader = loader
        self.file = file
        #: Mappings already read; an alias leads to the same node again.
        self.pairs: dict[int, _Pairs] = {}


#: Of a mapping: its pairs, and what is wrong with which other keys.
_Pairs = tuple[dict[str, tuple[yaml.Node, yaml.Node]], list[tuple[yaml.Node, str]]]


class Node:
    """One place in a YAML document: its value, where it stands, and how it is read.

    Attributes:
        path: keys and list positions from the root, such as ``clusters[0].name``.
        line: of the key in a mapping, else of the value; counted from 1, as editors do.
    """

    __slots__ = ("_document", "_node", "line", "path")

    def __init__(
        self, node: yaml.Node, document: _Document, path: str, key: yaml.Node | None = None
    ) -> None:
        self._node = node
        self._document = document
        self.path = path
        self.line: int = (key or node).start_mark.line + 1

    def fail(self, message: str) -> NoReturn:
        """Raise ConfigurationError for this place."""
        raise self.problem(message)

    def problem(self, message: str) -> ConfigurationError:
        """What :meth:`fail` raises."""
        where = f"{self._document.file}:{self.line}"
        return ConfigurationError(
            f"{where}: {self.path}: {message}" if self.path else f"{where}: {message}"
        )

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_scalar(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The pairs of a mapping, in order; the first key that cannot be one is an error."""
        found, problems = self.pairs()
        if problems:
            raise problems[0][1]
        yield from found.items()

    def pairs(self) -> tuple[dict[str, Node], list[tuple[int, ConfigurationError]]]:
        """The pairs of a mapping, in order, and with its line what is wrong with every other key.

        Keys must be strings and must not repeat.
        """
        found, complaints = self._pairs()
        children = {}
        for key, (key_node, value_node) in found.items():
            path = f"{self.path}.{key}" if self.path else key
            children[key] = Node(value_node, self._document, path, key_node)
        problems = []
        for key_node, message in complaints:
            here = Node(key_node, self._document, self.path)
            problems.append((here.line, here.problem(message)))
        return children, problems

    def _pairs(self) -> _Pairs:
        node = self._node
        if not isinstance(node, yaml.MappingNode):
            self.fail(f"expected a mapping, found {self._kind()}")
        found = self._document.pairs.get(id(node))
        if found is None:
            found = self._document.pairs[id(node)] = self._read_pairs(node)
        return found

    def _read_pairs(self, node: yaml.MappingNode) -> _Pairs:
        own = {id(key_node) for key_node, _ in node.value}
        try:
            # Merge keys (<<); their pairs come first.
            self._document.loader.flatten_mapping(node)
        except yaml.MarkedYAMLError as error:  # a merge of what is no mapping
            self.fail(f"cannot be read: {error.problem}")
        except RecursionError:
            self.fail("cannot be read: nested too deeply")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        problems: list[tuple[yaml.Node, str]] = []
        for key_node, value_node in node.value:
            try:
                key = self._key(key_node)
            except _Unreadable as error:
                problems.append((key_node, str(error)))
                continue
            if key in found and id(found[key][0]) in own:
                problems.append((key_node, f"{key!r} stands here twice"))
            else:
                found[key] = (key_node, value_node)
        return found, problems

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _Unreadable("a key must be a single value")
        key = self._construct(node)
        if not isinstance(key, str):
            # yes, no, on, off and numbers are no strings in YAML 1.1.
            kind, shown = type(key).__name__, node.value[:_LONGEST_SHOWN]
            raise _Unreadable(f"the key {shown!r} is read as {kind}: put it in quotes")
        return key

    def unknown(self, key: str, known: Sequence[str]) -> NoReturn:
        """Raise ConfigurationError for this place, whose `key` is none of those `known`."""
        shown = key if len(key) <= _LONGEST_SHOWN else f"{key[:_LONGEST_SHOWN]}…"
        near = difflib.get_close_matches(shown, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        self.fail(f"unknown key {shown!r}; {hint}")

    def items(self) -> list[Node]:
        """The entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail(f"expected a list, found {self._kind()}")
        return [
            Node(node, self._document, f"{self.path}[{number}]")
            for number, node in enumerate(self._node.value)
        ]

    def scalar(self) -> Any:
        """The value of a single value: str, int, float, bool, None, date or datetime.

        Whole numbers have at most 64 bits, and text is made of whole characters.
        """
        if not self.is_scalar:
            self.fail(f"expected a single value, found {self._kind()}")
        try:
            return self._construct(self._node)
        except _Unreadable as error:
            self.fail(str(error))

    def _construct(self, node: yaml.Node) -> Any:
        try:
            value = self._document.loader.construct_object(node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise _Unreadable(f"cannot be read: {error.problem}") from None
        except (ValueError, OverflowError) as error:
            raise _Unreadable(f"cannot be read: {error}") from None
        except (LookupError, AttributeError, TypeError, yaml.YAMLError):
            # PyYAML's answer to `!!bool x`, `!!int ""` and `!!timestamp x`.
            raise _Unreadable(
                f"cannot be read: it is no {str(node.tag).rpartition(':')[2]}"
            ) from None
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise _Unreadable("cannot be read: a whole number has at most 64 bits")
        if isinstance(value, str) and not value.isascii() and _HALF.search(value):
            raise _Unreadable("cannot be read: half a character (a lone surrogate)")
        return value

    def text(self) -> str:
        """A non-empty string. Numbers and booleans must be quoted, lest ``no`` become False."""
        value = self.scalar()
        if not isinstance(value, str):
            kind = "nothing" if value is None else type(value).__name__
            self.fail(f"expected a string, found {kind}: put it in quotes")
        if not value:
            self.fail("must not be empty")
        return value

    def integer(self) -> int:
        value = self.scalar()
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail("expected a whole number")
        return value

    def _kind(self) -> str:
        return _KINDS.get(str(getattr(self._node, "id", "")), "something else")


def parse(text: str, file: str) -> Node:
    """The root of the one YAML document in `text`.

    Raises:
        ConfigurationError: no YAML, more than one document, or empty; names file and line.
    """
    if len(text) > _MAX_BYTES:
        raise ConfigurationError(f"{file}: larger than {_MAX_BYTES} bytes")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark is not None else file
        raise ConfigurationError(f"{where}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not valid YAML: {type(error).__name__}") from None
    finally:
        loader.dispose()
    if node is None:
        raise ConfigurationError(f"{file}: is empty")
    return Node(node, _Document(loader, file), "")
