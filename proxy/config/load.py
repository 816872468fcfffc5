"""The only door to the configuration: file, environment and command line, in that order.

A later one wins over an earlier one. Whatever is wrong in any of them is told at
once, so that an operator corrects a file in one go.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from proxy.config import checks, complaints, environment
from proxy.config.scalars import Scalar
from proxy.config.schema import Configuration
from proxy.config.tree import Mistake, Place, Tree
from proxy.errors import ConfigurationError


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] = MappingProxyType({}),
    known_repairs: Collection[str] | None = None,
    known_dialects: Collection[str] | None = None,
    known_translations: Collection[str] | None = None,
    fixed_repairs: Collection[str] = (),
) -> Configuration:
    """Read the whole configuration.

    Args:
        path: the file; None: the one that STRAIGHTWIRE_CONFIG names, or none at all.
        environ: the environment, for `${NAME}` and for STRAIGHTWIRE_….
        overrides: from the command line: `upstream` (a URL), `listen` (HOST:PORT), `workers`.
            None stands for an option that was not given.
        known_repairs: the names that may be switched; None: any.
        known_dialects: the dialects that an upstream may have; None: any.
        known_translations: the names that may be switched; None: any.
        fixed_repairs: those of the repairs that cannot be switched off.

    Raises:
        ConfigurationError: with every mistake, sorted by line.
    """
    if path is None and environ.get(environment.FILE):
        path = Path(environ[environment.FILE])
    tree = _read(path, environ)
    environment.apply(tree, environ)
    _override(tree, overrides)
    _choose_socket(tree)
    vocabulary = checks.Vocabulary(known_repairs, known_dialects, known_translations, fixed_repairs)
    mistakes = [*tree.mistakes, *checks.of(tree, vocabulary)]
    directory = Path.cwd() if path is None else path.absolute().parent
    configuration = None
    try:
        configuration = Configuration.model_validate(tree.data, context={"directory": directory})
    except ValidationError as error:
        mistakes += complaints.of(error, tree)
    else:
        mistakes += checks.of_values(configuration, tree)
    if configuration is None or mistakes:
        raise ConfigurationError(*_in_order(mistakes))
    return configuration


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors.

    Where a number, a switch or one of several words belongs, `${NAME}` is good as well.
    """
    schema = Configuration.model_json_schema()
    _admit_variables(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _admit_variables(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _admit_variables(item)
    if not isinstance(node, dict):
        return
    for item in node.values():
        _admit_variables(item)
    if node.get("type") in ("integer", "boolean") or "enum" in node:
        words = ("type", "enum", "minimum", "maximum")
        value = {word: node.pop(word) for word in words if word in node}
        node["anyOf"] = [value, {"type": "string", "pattern": r"\$\{"}]


def _read(path: Path | None, environ: Mapping[str, str]) -> Tree:
    if path is None:
        return Tree()
    # Half of the time that a start takes before it serves goes into imports; without a file
    # the YAML parser need not be one of them.
    from proxy.config.document import read_file

    return read_file(path, environ)


def _override(tree: Tree, overrides: Mapping[str, Any]) -> None:
    for option, value in overrides.items():
        place = Place(2, 0, f"--{option}")
        if value is None:
            continue
        if option == "upstream":
            environment.put_only_upstream(tree, str(value), place)
        elif option == "listen":
            environment.put_address(tree, "listen", str(value), place)
        elif option == "workers":
            tree.put(("workers",), Scalar(str(value)), place)
        else:
            raise TypeError(f"{option} cannot be overridden")


def _choose_socket(tree: Tree) -> None:
    """Let a later layer choose between a unix socket and an address over an earlier one."""
    for key in ("host", "port"):
        socket = tree.places.get(("listen", "path"))
        place = tree.places.get(("listen", key))
        if socket and place and place.layer != socket.layer:
            tree.drop(("listen", key) if place.layer < socket.layer else ("listen", "path"))


def _in_order(mistakes: list[Mistake]) -> list[str]:
    """Write the mistakes, each once: a value used by alias is checked in every use."""
    return list(dict.fromkeys(map(str, sorted(mistakes, key=lambda mistake: mistake.order))))
