import hashlib
import traceback
from pathlib import Path

import pytest

from proxy.config.schema import Configuration
from proxy.config.secrets import KeyDigest

from .conftest import Load, Mistakes

SECRET = "sk-very-secret"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


def client_key(configuration: Configuration) -> KeyDigest:
    (entry,) = configuration.clients.api_keys
    return entry.key


def with_api_key(text: str) -> str:
    return f"upstreams:\n  a:\n    url: http://x\n    api_key: {text}\n"


def with_client_key(text: str) -> str:
    return f"upstreams: {{a: {{url: http://x}}}}\nclients:\n  api_keys:\n    - {text}\n"


@pytest.mark.parametrize(
    "text", [SECRET, f'"{SECRET}"', "${KEY}", "${NOPE:-sk-very-secret}", "file:key", "file:${DIR}/key"]
)
def test_an_upstreams_key(text: str, load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET + "\n")
    configuration = load_text(with_api_key(text), {"KEY": SECRET, "DIR": str(tmp_path)})
    key = configuration.upstreams["a"].api_key
    assert key is not None
    assert key.get_secret_value() == SECRET


@pytest.mark.parametrize("text", ["null", "${NOPE:-}", "${NOPE:-null}", "~", ""])
def test_no_key_for_the_upstream(text: str, load_text: Load) -> None:
    assert load_text(with_api_key(text)).upstreams["a"].api_key is None


@pytest.mark.parametrize(
    "content", ["sk-very-secret", "sk-very-secret\n", "sk-very-secret\r\n", f"sha256:{DIGEST}\n"]
)
def test_a_clients_key_from_a_file(content: str, load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(content)
    assert client_key(load_text(with_client_key("file:key"))).matches(SECRET)


@pytest.mark.parametrize(
    "text",
    [SECRET, "${KEY}", f"sha256:{DIGEST}", f"sha256:{DIGEST.upper()}", f"{{name: alice, key: {SECRET}}}"],
)
def test_a_clients_key(text: str, load_text: Load) -> None:
    key = client_key(load_text(with_client_key(text), {"KEY": SECRET}))
    assert key.matches(SECRET)
    assert not key.matches(SECRET + "x")
    assert not key.matches(DIGEST)
    assert not key.matches("")
    assert not key.matches("\udcff")


def test_a_clients_name(load_text: Load) -> None:
    text = (
        f"upstreams: {{a: {{url: http://x}}}}\nclients: {{api_keys: [{{name: alice, key: {SECRET}}}, other]}}"
    )
    assert [entry.name for entry in load_text(text).clients.api_keys] == ["alice", None]


def test_files_are_sought_beside_the_configuration_wherever_one_stands(
    load_text: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "key").write_text(SECRET)
    (tmp_path / "etc" / "straightwire.yaml").write_text(with_client_key("file:key"))
    environ = {"STRAIGHTWIRE_CONFIG": "etc/straightwire.yaml"}
    assert client_key(load_text(None, environ)).matches(SECRET)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('""', "is empty"),
        ('" sk-1"', "must be one line of printable ASCII without spaces around it"),
        ('"sk-1\\n"', "must be one line of printable ASCII without spaces around it"),
        ("sk-é", "must be one line of printable ASCII without spaces around it"),
        ("[sk-1]", "must be text"),
        ("file:none", "cannot be read: {}/none: No such file or directory"),
        ('"file:"', "must be a path"),
        ("file:.", "cannot be read: {} is not a regular file"),
        ("file:empty", "is empty"),
        ("file:two-lines", "must be one line of printable ASCII without spaces around it"),
    ],
)
def test_a_key_that_cannot_be_one(text: str, what: str, mistakes: Mistakes, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two-lines").write_text("sk-1\nsk-2\n")
    what = what.format(tmp_path)
    assert mistakes(with_api_key(text)) == [f"config.yaml:4: upstreams.a.api_key: {what}"]
    if not text.startswith("["):
        assert mistakes(with_client_key(text)) == [f"config.yaml:4: clients.api_keys.0: {what}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sha256:sk-1", "clients.api_keys.0: after sha256: must come 64 hexadecimal digits"),
        ("null", "clients.api_keys.0: must be text"),
        ("{name: alice}", "clients.api_keys.0.key: is missing"),
        ("{name: '', key: sk-1}", "clients.api_keys.0.name: must not be empty"),
        ("{nmae: alice, key: sk-1}", "clients.api_keys.0.nmae: unknown key (did you mean name?)"),
        ("{key: {sk-1: sk-2}}", "clients.api_keys.0.key: must be text"),
    ],
)
def test_a_clients_key_that_cannot_be_one(text: str, line: str, mistakes: Mistakes) -> None:
    assert mistakes(with_client_key(text)) == [f"config.yaml:4: {line}"]


def test_the_same_key_twice(mistakes: Mistakes) -> None:
    text = f"upstreams: {{a: {{url: http://x}}}}\nclients: {{api_keys: [other, {SECRET}, 'sha256:{DIGEST}']}}"
    assert mistakes(text) == ["config.yaml:2: clients: api_keys 3 and 2 are the same"]


def test_keys_compare_without_being_told() -> None:
    one, same, other = (KeyDigest(hashlib.sha256(key).digest()) for key in (b"a", b"a", b"b"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "a"


def test_secrets_are_never_shown(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-of-a-file")
    text = f"""\
upstreams:
  a:
    url: http://x
    api_key: {SECRET}
    headers: {{X-Key: sk-of-a-header, X-File: "file:key"}}
clients: {{api_keys: [sk-of-a-client, "sha256:{DIGEST}", "${{KEY}}"]}}
"""
    configuration = load_text(text, {"KEY": "sk-of-the-environment"})
    upstream = configuration.upstreams["a"]
    assert upstream.headers["X-Key"].get_secret_value() == "sk-of-a-header"
    assert upstream.headers["X-File"].get_secret_value() == "sk-of-a-file"
    for form in (
        repr(configuration),
        str(configuration),
        configuration.model_dump_json(),
        str(configuration.model_dump()),
        repr(configuration.clients.api_keys),
        repr(upstream.headers),
    ):
        assert "sk-" not in form
        assert DIGEST not in form


MISPLACED = """\
upstreams:
  a: {url: "http://user:sk-1@host", api_key: [sk-1], headers: sk-1, tls: sk-1}
  b: {url: sk-1, api_key: "sk-1\\t", headers: {X: "sk-1\\n"}}
  c: {url: "http://host/?key=sk-1", headers: [sk-1]}
models: sk-1
clients: {api_keys: sk-1}
"""


def test_secrets_are_not_shown_in_mistakes_either(mistakes: Mistakes) -> None:
    environ = {
        "STRAIGHTWIRE_CLIENTS": "sk-1",
        "STRAIGHTWIRE_UPSTREAMS__D__URL": "sk-1",
        "STRAIGHTWIRE_UPSTREAMS__D__API_KEY": "sk-1 \x07 sk-1",
        "STRAIGHTWIRE_UPSTREAMS__D__HEADERS__X": "sk-1\n",
    }
    lines = mistakes(MISPLACED, environ)
    assert len(lines) > 10
    assert not [line for line in lines if "sk-1" in line]
    (line,) = mistakes("upstreams: {a: {url: http://x}}", {"STRAIGHTWIRE_CLIENTS__API_KEYS": "sk-1"})
    assert line == "STRAIGHTWIRE_CLIENTS__API_KEYS: clients.api_keys: must be a list such as [a, b], not text"


def test_a_mistake_does_not_carry_the_values_along(mistakes: Mistakes, load_text: Load) -> None:
    with pytest.raises(Exception, match="is missing") as caught:
        load_text(f"upstreams: {{a: {{api_key: {SECRET}}}}}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(Exception, match="is not YAML") as caught:
        load_text(f"upstreams: {{a: {{api_key: {SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
