"""YAML read as nodes, so that an error can name file, line and key path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml

from ..errors import ConfigurationError

__all__ = ["Node", "parse"]

#: libyaml's loader where PyYAML was built with it: ten times faster on large tables.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Aliases can make a small text huge when walked ("billion laughs").
_MAX_BYTES = 64 * 1024 * 1024
_KINDS = {"mapping": "a mapping", "sequence": "a list", "scalar": "a single value"}


class _Document:
    """What all nodes of a text share."""

    __slots__ = ("file", "loader", "pairs")

    def __init__(self, loader: Any, file: str) -> None:
        self.loader = loader
        self.file = file
        #: Mappings already read; an alias leads to the same node again.
        self.pairs: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}


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
        where = f"{self._document.file}:{self.line}"
        raise ConfigurationError(
            f"{where}: {self.path}: {message}" if self.path else f"{where}: {message}"
        )

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_scalar(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The pairs of a mapping, in order; keys must be strings and must not repeat."""
        for key, (key_node, value_node) in self._pairs().items():
            path = f"{self.path}.{key}" if self.path else key
            yield key, Node(value_node, self._document, path, key_node)

    def _pairs(self) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        node, loader = self._node, self._document.loader
        if not isinstance(node, yaml.MappingNode):
            self.fail(f"expected a mapping, found {self._kind()}")
        found = self._document.pairs.get(id(node))
        if found is not None:
            return found
        try:
            found = self._read_pairs(node, loader)
        except yaml.MarkedYAMLError as error:  # a merge of what is no mapping, an unknown tag
            self.fail(f"cannot be read: {error.problem}")
        self._document.pairs[id(node)] = found
        return found

    def _read_pairs(
        self, node: yaml.MappingNode, loader: Any
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        own = {id(key_node) for key_node, _ in node.value}
        loader.flatten_mapping(node)  # merge keys (<<); their pairs come first
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            here = Node(key_node, self._document, self.path)
            if not isinstance(key, str):
                # yes, no, on, off and numbers are no strings in YAML 1.1.
                kind = type(key).__name__
                here.fail(f"the key {key_node.value!r} is read as {kind}: put it in quotes")
            if key in found and id(found[key][0]) in own:
                here.fail(f"{key!r} stands here twice")
            found[key] = (key_node, value_node)
        return found

    def fields(self, *known: str, required: Sequence[str] = ()) -> dict[str, Node]:
        """The mapping's values by key; unknown and missing keys are errors."""
        found: dict[str, Node] = {}
        for key, child in self.entries():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                child.fail(f"unknown key {key!r}; {hint}")
            found[key] = child
        for key in required:
            if key not in found:
                self.fail(f"{key!r} is missing")
        return found

    def items(self) -> list[Node]:
        """The entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail(f"expected a list, found {self._kind()}")
        return [
            Node(node, self._document, f"{self.path}[{number}]")
            for number, node in enumerate(self._node.value)
        ]

    def scalar(self) -> Any:
        """The value of a single value: str, int, float, bool, None, date or datetime."""
        if not isinstance(self._node, yaml.ScalarNode):
            self.fail(f"expected a single value, found {self._kind()}")
        try:
            return self._document.loader.construct_object(self._node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            self.fail(f"cannot be read: {getattr(error, 'problem', error)}")

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
