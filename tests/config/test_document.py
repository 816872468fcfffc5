import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config import shape
from proxy.config.load import load
from proxy.config.schema import Configuration
from proxy.errors import ConfigurationError

from .conftest import Load, Mistakes

START = "upstreams: {a: {url: http://x}}\n"


@pytest.mark.parametrize(
    "name", ["no", "on", "1e3", "12:30:00", "2023-05-21", "0o17", "017", "3.10", "1_0", "true"]
)
def test_what_yaml_takes_for_another_type_stays_a_name(name: str, load_text: Load) -> None:
    configuration = load_text(START + f"models: {{{name}: {{upstream: a, model: {name}}}}}")
    assert list(configuration.models) == [name]
    assert configuration.models[name].model == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.7", 0.7),
        ("512", 512),
        ("-1", -1),
        ("1e-3", 0.001),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ('"0.7"', "0.7"),
        ("'true'", "true"),
        ('"null"', "null"),
        ("no", "no"),
        ("True", "True"),
        ("012", "012"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("0x1f", "0x1f"),
        (".5", ".5"),
        (".inf", ".inf"),
        ("[1, {a: true}]", [1, {"a": True}]),
    ],
)
def test_a_value_for_json_is_what_json_knows(text: str, value: object, load_text: Load) -> None:
    configuration = load_text(f"upstreams: {{a: {{url: http://x, parameters: {{set: {{p: {text}}}}}}}}}")
    found = configuration.upstreams["a"].parameters.set["p"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000])
def test_a_number_too_large_for_json(number: str, mistakes: Mistakes) -> None:
    text = f"upstreams:\n  a:\n    url: http://x\n    parameters: {{set: {{p: {number}}}}}"
    (line,) = mistakes(text)
    assert line.startswith("config.yaml:4: upstreams.a.parameters.set.p: is too large a number: ")
    assert len(line) < 200


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "config.yaml:1: is empty; write at least an upstream's url"),
        ("# nothing\n\n", "config.yaml:1: is empty; write at least an upstream's url"),
        ("null", "config.yaml:1: is empty; write at least an upstream's url"),
        ("- a", "config.yaml:1: must be a mapping, of keys such as upstreams:"),
        ("upstreams", "config.yaml:1: must be a mapping, of keys such as upstreams:"),
        (b"a: b\nc: \xff", "config.yaml:2: is not UTF-8"),
        ("a: b".encode("utf-16"), "config.yaml:1: holds a NUL byte; it must be text in UTF-8"),
        ("a: b\n\nc: \0", "config.yaml:3: holds a NUL byte; it must be text in UTF-8"),
        ("a: b\nc: \x07", "config.yaml:2: holds a control character"),
        ("a: b\nc: {d: e", "config.yaml:2: is not YAML: expected ',' or '}', but got '<stream end>'"),
        (
            "a: b\n c: d",
            "config.yaml:2: is not YAML: a key that cannot stand here; indent it, or quote text with ': '",
        ),
        ("a:\n\tb: c", "config.yaml:2: is not YAML: a tab; indent with spaces"),
        ('a: b\nc: "', "config.yaml:2: is not YAML: unexpected end of stream"),
        ("a: b\n--- \nc: d", "config.yaml:2: holds a second document (---); one file, one configuration"),
        (
            "a: *sk-1",
            "config.yaml:1: is not YAML: an alias (*) without its anchor (&); quote text that begins with *",
        ),
        ("a: &sk-1 b\nc: &sk-1 d", "config.yaml:2: is not YAML: an anchor (&) that is given twice"),
        (
            "a: !sk-1!x b",
            "config.yaml:1: is not YAML: a tag (!) that cannot be read; quote text that begins with !",
        ),
        ('a: b\nc: "\\UFFFFFFFF"', "config.yaml:2: holds a number or an escape out of range"),
        ("a: b\nc: " + "[" * 5000, "config.yaml:2: is nested too deep"),
        ("a: &a\n  b: *a", "config.yaml:1: is nested too deep, or within itself"),
        ("a: &a\n  <<: *a", "config.yaml:1: is nested too deep, or within itself"),
        ("#" * 2**20 + "\n", "config.yaml: is larger than 1048576 bytes"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_cannot_be_understood(text: str | bytes, line: str, mistakes: Mistakes) -> None:
    assert mistakes(text) == [line]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "none.yaml", environ={})
    assert caught.value.mistakes == (f"{tmp_path}/none.yaml: cannot be read: No such file or directory",)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})


def test_a_path_that_no_system_takes() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: embedded null byte"):
        load(Path("a\0b"), environ={})


def test_a_pipe_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, START.encode())
    os.close(write)
    try:
        assert list(load(Path(f"/dev/fd/{read}"), environ={}).upstreams) == ["a"]
    finally:
        os.close(read)


def test_a_byte_order_mark_is_no_text(load_text: Load) -> None:
    assert list(load_text(b"\xef\xbb\xbf" + START.encode()).upstreams) == ["a"]


def test_windows_line_ends(mistakes: Mistakes) -> None:
    assert mistakes(START.replace("\n", "\r\n") + "\r\ndrian: 5s\r\n") == [
        "config.yaml:3: drian: unknown key (did you mean drain?)"
    ]


def test_duplicate_keys_at_every_level(mistakes: Mistakes) -> None:
    text = (
        "upstreams:\n  a:\n    url: http://x\n    url: http://y\n  a: {url: http://z}\n"
        'models:\n  "*": {upstream: a, upstream: a}\n  "*": {upstream: a}\nmodels: {}\n'
    )
    assert mistakes(text) == [
        "config.yaml:4: upstreams.a.url: is given twice, first at config.yaml:3",
        "config.yaml:5: upstreams.a: is given twice, first at config.yaml:2",
        'config.yaml:7: models."*".upstream: is given twice, first at config.yaml:7',
        'config.yaml:8: models."*": is given twice, first at config.yaml:7',
        "config.yaml:9: models: is given twice, first at config.yaml:6",
    ]


def test_merge_keys(load_text: Load) -> None:
    text = """\
upstreams:
  a: &a
    url: http://x
    max_connections: 3
    timeouts: &slow {first_byte: 1h, idle: 9s}
  b:
    <<: *a
    url: http://y
  c:
    <<: [{url: http://z, max_connections: 5}, *a]
    timeouts:
      <<: *slow
      idle: 1s
models: {"*": {upstream: a}}
"""
    upstreams = load_text(text).upstreams
    assert [(u.url, u.max_connections) for u in upstreams.values()] == [
        ("http://x", 3),
        ("http://y", 3),
        ("http://z", 5),
    ]
    assert [(u.timeouts.first_byte, u.timeouts.idle) for u in upstreams.values()] == [
        (3600, 9),
        (3600, 9),
        (3600, 1),
    ]


def test_merging_what_is_no_mapping(mistakes: Mistakes) -> None:
    assert mistakes(START + "limits:\n  <<: [3, {event: 1}]\n") == [
        "config.yaml:3: limits.<<: must name mappings to merge".replace("<<", '"<<"')
    ]


def test_a_key_in_quotes_is_no_merge(mistakes: Mistakes) -> None:
    assert mistakes(START + 'limits: {"<<": {event: 1}}\n') == ['config.yaml:2: limits."<<": unknown key']


@pytest.mark.parametrize("key", ["[a]", "{{ a }}", "!!int 3", "? [a, b]\n"])
def test_keys_that_are_no_text(key: str, mistakes: Mistakes) -> None:
    assert mistakes(START + f"{key}: b") == ["config.yaml:2: has a key that is not text"]


@pytest.mark.parametrize("value", ["!!int 3", "!!python/object/apply:os.abort []", "!x {}"])
def test_tags(value: str, mistakes: Mistakes) -> None:
    assert "config.yaml:2: drain: has a tag (!); write the value without it" in mistakes(
        START + f"drain: {value}"
    )


def test_two_halves_are_a_character(load_text: Load) -> None:
    text = START + 'models: {"\\ud83d\\ude00": {upstream: a, model: "é\\U0001F600"}}'
    ((name, model),) = load_text(text).models.items()
    assert (name, model.model) == ("😀", "é😀")


def test_half_a_character(mistakes: Mistakes) -> None:
    assert mistakes(
        START + 'models:\n  "*": {upstream: a, model: "\\ud83d"}\n  "\\ude00": {upstream: a}'
    ) == [
        'config.yaml:3: models."*".model: holds half a character (a lone surrogate as an escape)',
        "config.yaml:4: models: holds half a character (a lone surrogate as an escape)",
    ]


def test_aliases_cannot_stand_for_billions_of_values(mistakes: Mistakes) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (line,) = mistakes("\n".join(lines))
    assert line == "config.yaml:1: has more than 50000 values, with its aliases"


def test_nor_can_merges(mistakes: Mistakes) -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    (line,) = mistakes("\n".join(lines))
    assert line.endswith(": has more than 50000 values, with its aliases")


_WORDS = st.sampled_from(
    [
        *(
            "upstreams",
            "models",
            "listen",
            "limits",
            "clients",
            "api_keys",
            "url",
            "a",
            "*",
            "<<",
            "tls",
            "parameters",
        ),
        *(
            "http://x",
            "5s",
            "1MiB",
            "true",
            "null",
            "~",
            "0",
            "-1",
            "1e3",
            "${A}",
            "${A:-b}",
            "$${",
            "${",
            "file:/x",
        ),
        *(
            ": ",
            ": ",
            ": ",
            "\n",
            "\n",
            "\n  ",
            "\n    ",
            "\n- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "&x ",
            "*x",
            "!!int ",
            "!",
        ),
        *(
            '"',
            "'",
            "|",
            ">",
            "#",
            "?",
            "---",
            "%YAML 1.2",
            "\t",
            "\r",
            "\u2028",
            "\x85",
            "\ud7ff",
            "é",
            "\\",
            "\0",
        ),
    ]
)


def outcome(file: Path) -> Configuration | ConfigurationError:
    try:
        return load(file, environ={"A": "b"})
    except ConfigurationError as error:
        return error


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(text=st.lists(_WORDS, max_size=40).map("".join) | st.text(max_size=200))
@example(text="upstreams: {a: {url: http://x}}")
@example(text="clients: {api_keys: {a: b}}")
@example(text="upstreams: &x {a: *x}")
def test_any_text_is_a_configuration_or_a_mistake(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    found = outcome(file)
    if isinstance(found, ConfigurationError):
        assert found.mistakes
        assert all(line.startswith(str(file)) and "\n" not in line for line in found.mistakes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=100))
def test_so_are_any_bytes(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    assert isinstance(outcome(file), ConfigurationError)


#: Every key that there is, wherever it belongs; so most trees are wrong in places, and some are right.
_KEYS = sorted({str(key) for path in shape.walk({("upstreams",): ["a"], ("models",): ["*"]}) for key in path})
_LEAVES = st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | st.dates() | st.text(max_size=5)
_GOOD = st.sampled_from(
    ["http://x", "a", "5s", "1MiB", "0", "info", "json", "openai", "${A}", "${B:-c}", "sha256:0"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    tree=st.dictionaries(
        st.sampled_from(_KEYS),
        st.recursive(
            _LEAVES | _GOOD,
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
            ),
            max_leaves=12,
        ),
        max_size=6,
    )
)
def test_so_is_any_tree(tree: object, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    found = outcome(file)
    if isinstance(found, ConfigurationError):
        assert all(line.startswith(str(file)) and "\n" not in line for line in found.mistakes)
        assert len(found.mistakes) == len(set(found.mistakes))
