"""config.example.yaml shows every key, with its default."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config import shape
from proxy.config.document import read_file
from proxy.config.load import load
from proxy.config.schema import CATCH_ALL, ClientKey, Configuration
from proxy.config.tree import KeyPath

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
NAMES = {("upstreams",): ["local"], ("models",): [CATCH_ALL]}
#: Keys that have no default because they must be given.
REQUIRED = {("upstreams", "local", "url"), ("models", CATCH_ALL, "upstream")}


def leaves() -> Iterator[tuple[str, ...]]:
    """Yield the path of every key that is no section of keys."""
    paths = list(shape.walk(NAMES))
    return (path for path in paths if not any(other[: len(path)] == path != other for other in paths))


def default(path: KeyPath) -> Any:
    value: Any = Configuration.model_validate({"upstreams": {"local": {"url": "http://127.0.0.1:8080"}}})
    for part in path:
        if value is None:
            return None
        value = value[part] if isinstance(value, dict) else getattr(value, str(part))
    return value


@pytest.fixture(scope="module")
def uncommented(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the data of the example with the keys that have a # right before them."""
    text, keys = re.subn(r"^( *)#([a-z_]+:)", r"\1\2", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert keys
    file = tmp_path_factory.mktemp("example") / "config.yaml"
    file.write_text(text)
    tree = read_file(file, {"LOCALAI_API_KEY": "sk-1"})
    assert tree.mistakes == []
    return tree.data


def test_it_is_the_configuration_that_needs_no_file() -> None:
    assert load(EXAMPLE, environ={}) == load(
        None, environ={"STRAIGHTWIRE_UPSTREAMS__LOCAL__URL": "http://127.0.0.1:8080"}
    )


@pytest.mark.parametrize("path", list(leaves()), ids=".".join)
def test_a_key_stands_there_with_its_default(path: tuple[str, ...], uncommented: dict[str, Any]) -> None:
    given = read_file(EXAMPLE, {})
    if path in REQUIRED or default(path) is not None:
        assert path in given.places
    else:
        assert path not in given.places
        commented: Any = uncommented
        for part in path:
            commented = commented[part]
        assert commented


def test_the_keys_of_a_clients_key_are_told() -> None:
    text = EXAMPLE.read_text()
    assert (
        "{" + ", ".join(f"{key}: {value}" for key, value in (("name", "alice"), ("key", "…"))) + "}" in text
    )
    assert list(ClientKey.model_fields) == ["name", "key"]


def test_every_line_of_a_key_says_why() -> None:
    explained = re.compile(r"^ *#?[\"a-z*_]+: .*# .+|^ +(workers|certificate|port|key|url|api_keys): ")
    bare = [line for line in EXAMPLE.read_text().splitlines() if re.match(r" *#?[\"a-z*_]+: *[^ #]", line)]
    assert [line for line in bare if not explained.match(line)] == []
