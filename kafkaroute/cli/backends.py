"""``kafkaroute backends``: what is installed, and whether it loads."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from .._version import __version__
from ..backend.contract import Backend
from ..compiled import build_of, compiled_modules
from ..errors import PluginError
from ..plugins import BACKENDS, BUILT_IN, Plugin, installed, load_plugin

#: Seconds for one plug-in to be imported; the slowest client library takes 0.3 s.
_TIMEOUT = 30
#: In a process of its own: a client library may end the process that imports it.
_LOOK = """
import json, sys
from kafkaroute.plugins import BACKENDS, load_plugin
client = load_plugin(BACKENDS, sys.argv[1])().client_version()
print(json.dumps(client))
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("backends", help="list the installed backends")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def installed_backends() -> tuple[list[Backend], list[str]]:
    """Every installed backend, and why others do not load."""
    found, broken = [], []
    for name in sorted({plugin.name for plugin in installed(BACKENDS)}):
        try:
            found.append(load_plugin(BACKENDS, name)())
        except PluginError as error:
            broken.append(str(error))
    return found, broken


def run(options: argparse.Namespace) -> int:
    plugins = installed(BACKENDS)
    looks = [_look(plugin.name) for plugin in plugins]
    if options.json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "value": plugin.value,
                "compiled": bool(compiled_modules(_package(plugin))),
                "client": client,
                "problem": problem,
            }
            for plugin, (client, problem) in zip(plugins, looks, strict=True)
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not plugins:
        extras = " or ".join(f"pip install 'kafkaroute[{extra}]'" for extra in BUILT_IN.values())
        print(f"no backend is installed; try: {extras}")
    width = max((len(plugin.name) for plugin in plugins), default=0)
    for plugin, (client, problem) in zip(plugins, looks, strict=True):
        where = f"{plugin.distribution} {plugin.version}  ({plugin.value})"
        state = problem or f"over {client}; its Python: {build_of(_package(plugin))}"
        print(f"{plugin.name:<{width}}  {where}  {state}")
    print(f"kafkaroute {__version__} itself: {build_of('kafkaroute')}")
    return 0


def _look(name: str) -> tuple[str | None, str | None]:
    """The client library that a backend is made for, or why it does not load."""
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, and a name as it is installed
            [sys.executable, "-c", _LOOK, name],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return None, f"DOES NOT LOAD within {_TIMEOUT} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), None
    said = (done.stderr.strip() or f"the process ended with {done.returncode}").splitlines()[-1]
    return None, f"DOES NOT LOAD: {said}"


def _package(plugin: Plugin) -> str:
    return plugin.value.partition(":")[0].partition(".")[0]
