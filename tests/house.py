"""The laws of the house, as functions from source text to a list of breaches.

Each function takes the modules of proxy/ as a mapping from dotted name to source, so that the laws
can be tried on a few lines of text as well as on the tree. Imports are read from the syntax, wherever
they stand: one inside a function or under `TYPE_CHECKING` is an arrow all the same.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

Modules = dict[str, str]

#: From the roof down. A floor imports from itself and from the floors below.
FLOORS = ["cli", "server", "config", "wire", "errors"]
ROOF = FLOORS[0]

#: Modules that are part of a floor without standing in its folder.
ALSO = {"__main__": "cli"}

#: The pure floor does not wait, read a clock, draw lots, log, or touch the world outside.
NOT_IN_WIRE = {
    *(
        "aiohttp",
        "asyncio",
        "click",
        "http",
        "prometheus_client",
        "pydantic",
        "ssl",
        "structlog",
        "uvloop",
        "yaml",
    ),
    *(
        "concurrent",
        "importlib",
        "multiprocessing",
        "selectors",
        "signal",
        "socket",
        "subprocess",
        "threading",
    ),
    *("io", "logging", "os", "pathlib", "shutil", "sys", "tempfile", "warnings"),
    *("datetime", "random", "secrets", "time", "uuid"),
}
BUILTINS_NOT_IN_WIRE = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}

#: Who may know aiohttp at all, and who may know its client.
AIOHTTP_FLOORS = {"cli", "server", "demo"}
CLIENT_ROOM = "proxy.server.upstreams"

LONGEST_MODULE = 300
#: A line of a room's map, which stands in its docstring: a module's name, some space, and what it is.
_MAP_LINE = re.compile(r"^ {4}(\w+) +\S", re.MULTILINE)
NAMES_WITHOUT_MEANING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


def read_modules(root: Path) -> Modules:
    """Return the source of every module of the package that stands at `root`, by dotted name."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = path.read_text(encoding="utf-8")
    return modules


def floor_of(module: str) -> str:
    """Return the floor a module of proxy/ stands on; the package itself is below all of them: ''."""
    room = module.split(".")[1] if "." in module else ""
    return ALSO.get(room, room)


def imports(name: str, modules: Modules) -> Iterator[tuple[int, str]]:
    """Yield the line and the full dotted name of everything that a module imports."""
    package = name.split(".") if _is_package(name, modules) else name.split(".")[:-1]
    for node in ast.walk(ast.parse(modules[name])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


def rising_imports(modules: Modules) -> list[str]:
    """Find imports of a floor above the importing one, and imports from or to `demo` but by the roof."""
    breaches = []
    for name in modules:
        here = floor_of(name)
        for line, target in imports(name, modules):
            there = floor_of(target) if target.split(".")[0] == "proxy" else None
            if there is not None and not _may_import(here, there, target, modules):
                breaches.append(f"{name}:{line}: {here or 'proxy'} must not import {target}")
    return breaches


def _may_import(here: str, there: str, target: str, modules: Modules) -> bool:
    if here == there:
        return True
    if here == "demo" or there == "demo":
        return here == ROOF
    if _is_the_packages_own(target, modules):
        return here in FLOORS
    return here in FLOORS and there in FLOORS and FLOORS.index(here) < FLOORS.index(there)


def _is_package(name: str, modules: Modules) -> bool:
    return any(other.startswith(f"{name}.") for other in modules)


def _is_the_packages_own(target: str, modules: Modules) -> bool:
    """Tell whether `target` is the package itself or a name in it, such as its version."""
    return target == "proxy" or (target.count(".") == 1 and not _is_module(target, modules))


def _is_module(name: str, modules: Modules) -> bool:
    return name in modules or _is_package(name, modules) or floor_of(name) in {*FLOORS, "demo"}


def modules_without_floor(modules: Modules) -> list[str]:
    """Find modules that stand on no floor, to which the laws would not apply."""
    known = {*FLOORS, "demo", ""}
    return [f"{name}: stands on no floor" for name in modules if floor_of(name) not in known]


def impurities(modules: Modules) -> list[str]:
    """Find what the pure floor must not import or call."""
    breaches = []
    for name in (name for name in modules if floor_of(name) == "wire"):
        for line, target in imports(name, modules):
            if target.split(".")[0] in NOT_IN_WIRE:
                breaches.append(f"{name}:{line}: wire must not import {target}")
        for node in ast.walk(ast.parse(modules[name])):
            if isinstance(node, ast.Name) and node.id in BUILTINS_NOT_IN_WIRE:
                breaches.append(f"{name}:{node.lineno}: wire must not use {node.id}()")
    return breaches


def aiohttp_outside(modules: Modules) -> list[str]:
    """Find aiohttp where it has no business, and its client outside of the room that owns it."""
    breaches = []
    for name in modules:
        used = [(line, target) for line, target in _uses(name, modules) if target.split(".")[0] == "aiohttp"]
        for line, target in used:
            if floor_of(name) not in AIOHTTP_FLOORS:
                breaches.append(f"{name}:{line}: {target} outside of {', '.join(sorted(AIOHTTP_FLOORS))}")
            elif not name.startswith(CLIENT_ROOM) and _is_client(target):
                breaches.append(f"{name}:{line}: {target} outside of {CLIENT_ROOM}")
    return breaches


def _uses(name: str, modules: Modules) -> Iterator[tuple[int, str]]:
    """Yield imports, and dotted names that begin with an imported `aiohttp` (`aiohttp.ClientSession`)."""
    yield from imports(name, modules)
    tree = ast.parse(modules[name])
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "aiohttp"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield node.lineno, f"aiohttp.{node.attr}"


def _is_client(target: str) -> bool:
    words = target.split(".")[1:]
    return any(
        word.startswith(("Client", "client"))
        or word.endswith("Connector")
        or word in {"connector", "request"}
        for word in words
    )


def long_modules(modules: Modules) -> list[str]:
    """Find modules that have outgrown a sitting's reading."""
    lengths = {name: len(source.splitlines()) for name, source in modules.items()}
    return [
        f"{name}: {length} lines, {LONGEST_MODULE} are allowed"
        for name, length in lengths.items()
        if length > LONGEST_MODULE
    ]


def meaningless_names(modules: Modules) -> list[str]:
    """Find modules whose name says nothing about what is in them."""
    return [
        f"{name}: a name that says nothing"
        for name in modules
        if NAMES_WITHOUT_MEANING & set(name.rsplit(".", 1)[-1].strip("_").split("_"))
    ]


def untrue_maps(modules: Modules) -> list[str]:
    """Find rooms whose map, drawn in the docstring, does not show each module once and nothing else."""
    breaches = []
    for room in (name for name in modules if "." in name and _is_package(name, modules)):
        inside = [name.removeprefix(f"{room}.") for name in modules if name.startswith(f"{room}.")]
        there = {name for name in inside if "." not in name}
        shown = _MAP_LINE.findall(ast.get_docstring(ast.parse(modules[room]), clean=False) or "")
        odd = {name for name in {*there, *shown} if shown.count(name) != 1 or name not in there}
        if there and shown and odd:
            breaches.append(f"{room}: its map is wrong about {', '.join(sorted(odd))}")
    return breaches
