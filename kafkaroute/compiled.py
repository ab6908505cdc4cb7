"""Whether what is installed is compiled: wheels for a platform are, in part."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

__all__ = ["build_of", "compiled_modules"]


def compiled_modules(package: str) -> list[str]:
    """The compiled modules of a top-level package, where it would be imported from; imports none."""
    spec = find_spec(package)
    found = set()
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for suffix in EXTENSION_SUFFIXES:
            for path in Path(folder).rglob(f"*{suffix}"):
                name = path.name.removesuffix(suffix)
                # Several modules may share what mypyc has made of them, by such a name.
                if "." not in name and not name.endswith("__mypyc"):
                    found.add(".".join((package, *path.relative_to(folder).parts[:-1], name)))
    return sorted(found)


def build_of(package: str) -> str:
    """``compiled`` or ``pure Python``, for people."""
    return "compiled" if compiled_modules(package) else "pure Python"
