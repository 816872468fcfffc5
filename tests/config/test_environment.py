from pathlib import Path
from typing import Any

import pytest

from proxy.config import shape
from proxy.config.environment import variable
from proxy.config.shape import Kind
from proxy.config.tree import KeyPath

from .conftest import Load, Mistakes

FILE = """\
listen: {host: 127.0.0.1, port: 1}
upstreams:
  my-gpu.2: {url: http://x, max_connections: 1, headers: {X-Team: a}}
models:
  gpt-3.5-turbo: {upstream: my-gpu.2, model: a}
  "*": {upstream: my-gpu.2}
"""
#: One value for each key that is unlike its default, and the value that the model must hold then.
SAMPLES: dict[str, tuple[str, Any]] = {
    "listen": ("0.0.0.0:80", ...),
    "listen.host": ("::1", "::1"),
    "listen.port": ("80", 80),
    "listen.path": ("{tmp}/socket", Path("{tmp}/socket")),
    "listen.tls": ("{certificate: '{tmp}/file'}", ...),
    "listen.tls.certificate": ("{tmp}/file", Path("{tmp}/file")),
    "listen.tls.key": ("{tmp}/file", Path("{tmp}/file")),
    "admin": ("null", None),
    "admin.host": ("::1", "::1"),
    "admin.port": ("90", 90),
    "workers": ("4", 4),
    "upstreams": ("{a: {url: http://y}}", ...),
    "upstreams.local": ("{url: http://y, dialect: z}", ...),
    "upstreams.local.url": ("http://y/v1", "http://y/v1"),
    "upstreams.local.api_key": ("{", ...),
    "upstreams.local.dialect": ("localai-v1", "localai-v1"),
    "upstreams.local.timeouts": ("{idle: 1s}", ...),
    "upstreams.local.timeouts.connect": ("1s", 1.0),
    "upstreams.local.timeouts.first_byte": ("1s", 1.0),
    "upstreams.local.timeouts.idle": ("1s", 1.0),
    "upstreams.local.max_connections": ("7", 7),
    "upstreams.local.on_missing_finish": ("stop", "stop"),
    "upstreams.local.repairs": ("{a-b: true}", {"a-b": True}),
    "upstreams.local.translations": ("{a-b: true}", {"a-b": True}),
    "upstreams.local.parameters": ("{drop: [a]}", ...),
    "upstreams.local.parameters.default": ("{a: 1}", {"a": 1}),
    "upstreams.local.parameters.set": ("{a: 1}", {"a": 1}),
    "upstreams.local.parameters.drop": ("[a, b]", ("a", "b")),
    "upstreams.local.headers": ("{a: b}", ...),
    "upstreams.local.tls": ("{verify: false}", ...),
    "upstreams.local.tls.ca": ("{tmp}/file", Path("{tmp}/file")),
    "upstreams.local.tls.certificate": ("{tmp}/file", Path("{tmp}/file")),
    "upstreams.local.tls.key": ("{tmp}/file", Path("{tmp}/file")),
    "upstreams.local.tls.verify": ("false", False),
    "upstreams.local.health": ("{path: /}", ...),
    "upstreams.local.health.path": ("/readyz", "/readyz"),
    "upstreams.local.health.interval": ("0", 0.0),
    "models": ("{b: {upstream: local}}", ...),
    "models.a": ("{upstream: local, model: c}", ...),
    "models.a.upstream": ("local", "local"),
    "models.a.model": ("c", "c"),
    "clients": ("{api_keys: [a]}", ...),
    "clients.api_keys": ("[a, {name: b, key: c}]", ...),
    "clients.idle": ("1m", 60.0),
    "cors": ("{origins: ['*']}", ...),
    "cors.origins": ("['*']", ("*",)),
    "limits": ("{event: 1}", ...),
    "limits.request_body": ("1KiB", 1024),
    "limits.event": ("1KiB", 1024),
    "limits.response_body": ("1KiB", 1024),
    "limits.streams": ("9", 9),
    "trusted_proxies": ("[10.0.0.0/8]", ...),
    "keep_alive": ("15s", 15.0),
    "open_after": ("15s", 15.0),
    "drain": ("1m", 60.0),
    "repairs": ("{a-b: false}", {"a-b": False}),
    "log": ("{level: debug}", ...),
    "log.level": ("debug", "debug"),
    "log.format": ("json", "json"),
    "tracing": ("true", True),
    "log.output": ("stdout", "stdout"),
}
#: What a key needs beside it, to be a whole configuration.
BESIDE = {
    "listen.tls.key": {"STRAIGHTWIRE_LISTEN__TLS__CERTIFICATE": "{tmp}/file"},
    "upstreams.local.tls.key": {"STRAIGHTWIRE_UPSTREAMS__LOCAL__TLS__CERTIFICATE": "{tmp}/file"},
    "models.a.model": {"STRAIGHTWIRE_MODELS__A__UPSTREAM": "local"},
    "models": {"STRAIGHTWIRE_UPSTREAMS__LOCAL__URL": "http://x"},
}
ALL_PATHS = list(shape.walk({("upstreams",): ["local"], ("models",): ["a"]}))


def value_at(configuration: Any, path: KeyPath) -> Any:
    for part in path:
        configuration = (
            configuration[part] if isinstance(configuration, dict) else getattr(configuration, str(part))
        )
    return configuration


@pytest.mark.parametrize("path", ALL_PATHS, ids=".".join)
def test_every_key(path: tuple[str, ...], load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    dotted = ".".join(path)
    text, expected = SAMPLES[dotted]
    environ = {"STRAIGHTWIRE_UPSTREAMS__LOCAL__URL": "http://x"} if path != ("upstreams",) else {}
    before = value_at_or_none(load_text(None, environ or {"STRAIGHTWIRE_UPSTREAM": "http://x"}), path)
    environ |= {variable(path): text, **BESIDE.get(dotted, {})}
    environ = {name: value.replace("{tmp}", str(tmp_path)) for name, value in environ.items()}
    found = value_at(load_text(None, environ), path)
    assert found != before
    if expected is not ...:
        assert str(found) == str(expected).replace("{tmp}", str(tmp_path))


def value_at_or_none(configuration: Any, path: KeyPath) -> Any:
    try:
        return value_at(configuration, path)
    except (KeyError, AttributeError):
        return None


def test_a_single_variable_is_a_whole_configuration(load_text: Load) -> None:
    configuration = load_text(None, {"STRAIGHTWIRE_UPSTREAM": "http://127.0.0.1:8080/v1"})
    assert configuration.upstreams["default"].base == "http://127.0.0.1:8080"
    assert {name: model.upstream for name, model in configuration.models.items()} == {"*": "default"}


def test_the_only_upstream_keeps_the_rest_of_its_section(load_text: Load) -> None:
    environ = {"STRAIGHTWIRE_UPSTREAM": "http://y", "STRAIGHTWIRE_UPSTREAMS__DEFAULT__DIALECT": "z"}
    upstream = load_text(None, environ).upstreams["default"]
    assert (upstream.url, upstream.dialect) == ("http://y", "z")
    upstream = load_text(FILE, {"STRAIGHTWIRE_UPSTREAM": "http://y"}).upstreams["my-gpu.2"]
    assert (upstream.url, upstream.max_connections) == ("http://y", 1)


def test_of_several_upstreams_none_is_the_only_one(mistakes: Mistakes) -> None:
    text = 'upstreams: {a: {url: http://x}, b: {url: http://x}}\nmodels: {"*": {upstream: a}}'
    assert mistakes(text, {"STRAIGHTWIRE_UPSTREAM": "http://y"}) == [
        "STRAIGHTWIRE_UPSTREAM: there are several upstreams (a, b); give each its url"
    ]


def test_names_of_the_file_match_whatever_their_case_and_signs(load_text: Load) -> None:
    environ = {
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__MAX_CONNECTIONS": "2",
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__HEADERS__X_TEAM": "b",
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__HEADERS__X_NEW": "c",
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__REPAIRS__REPEATED_ROLE": "false",
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__PARAMETERS__SET__TOP_P": "0.5",
        "STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__PARAMETERS__SET__STOP": '["a", "1"]',
        "STRAIGHTWIRE_MODELS__GPT_3_5_TURBO__MODEL": "b",
        "STRAIGHTWIRE_REPAIRS__MISSING_ID": "true",
    }
    configuration = load_text(FILE, environ)
    upstream = configuration.upstreams["my-gpu.2"]
    assert upstream.max_connections == 2
    assert {name: value.get_secret_value() for name, value in upstream.headers.items()} == {
        "X-Team": "b",
        "x-new": "c",
    }
    assert configuration.repairs_of("my-gpu.2") == {"repeated-role": False, "missing-id": True}
    assert upstream.parameters.set == {"top_p": 0.5, "stop": ["a", "1"]}
    assert {name: model.model for name, model in configuration.models.items()} == {
        "gpt-3.5-turbo": "b",
        "*": None,
    }


def test_a_section_replaces_the_files_and_a_key_changes_the_section(load_text: Load) -> None:
    text = FILE + "limits: {event: 1, streams: 1}\n"
    limits = load_text(text, {"STRAIGHTWIRE_LIMITS": "{streams: 2, response_body: 2}"}).limits
    assert (limits.event, limits.streams, limits.response_body) == (2**20, 2, 2)
    environ = {"STRAIGHTWIRE_LIMITS__STREAMS": "3", "STRAIGHTWIRE_LIMITS": "{streams: 2, event: 2}"}
    limits = load_text(text, environ).limits
    assert (limits.event, limits.streams) == (2, 3)


def test_a_section_can_come_back_from_nothing(load_text: Load) -> None:
    admin = load_text(FILE + "admin: null\n", {"STRAIGHTWIRE_ADMIN__PORT": "5"}).admin
    assert admin is not None
    assert admin.port == 5


def test_a_later_layer_chooses_between_socket_and_address(load_text: Load, tmp_path: Path) -> None:
    listen = load_text(FILE, {"STRAIGHTWIRE_LISTEN__PATH": "socket"}).listen
    assert listen.path == tmp_path / "socket"
    text = FILE.replace("{host: 127.0.0.1, port: 1}", "{path: socket}")
    assert load_text(text).listen.path == tmp_path / "socket"
    for environ in ({"STRAIGHTWIRE_LISTEN__PORT": "5"}, {"STRAIGHTWIRE_LISTEN": ":5"}):
        listen = load_text(text, environ).listen
        assert (listen.path, listen.port) == (None, 5)


def test_a_variable_makes_up_for_what_the_file_misses(load_text: Load) -> None:
    text = "upstreams: {a: {url: http://x, api_key: '${NOPE}'}}"
    key = load_text(text, {"STRAIGHTWIRE_UPSTREAMS__A__API_KEY": "sk-1"}).upstreams["a"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("value", ["{not: yaml}", "a: b #c", "${HOST}", "[", "'quoted'"])
def test_text_is_taken_as_it_stands(value: str, load_text: Load) -> None:
    key = load_text(FILE, {"STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__API_KEY": value}).upstreams["my-gpu.2"].api_key
    assert key is not None
    assert key.get_secret_value() == value


def test_an_empty_variable_is_none(load_text: Load) -> None:
    environ = dict.fromkeys(map(variable, ALL_PATHS), "") | {
        "STRAIGHTWIRE_UPSTREAM": " ",
        "STRAIGHTWIRE_CONFIG": "",
    }
    assert load_text(FILE, environ) == load_text(FILE)


def test_the_file_named_by_a_variable(load_text: Load, mistakes: Mistakes) -> None:
    Path("other.yaml").write_text("upstreams: {other: {url: http://x}}")
    environ = {"STRAIGHTWIRE_CONFIG": "other.yaml"}
    assert list(load_text(None, environ).upstreams) == ["other"]
    assert list(load_text(FILE, environ).upstreams) == ["my-gpu.2"]
    assert mistakes(None, {"STRAIGHTWIRE_CONFIG": "none.yaml"}) == [
        "none.yaml: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("STRAIGHTWIRE_LIMITS__EVNT", " (did you mean STRAIGHTWIRE_LIMITS__EVENT?)"),
        ("STRAIGHTWIRE_LISTEN_PORT", " (did you mean STRAIGHTWIRE_LISTEN__PORT?)"),
        ("STRAIGHTWIRE_UPSTREAM_URL", " (did you mean STRAIGHTWIRE_UPSTREAM?)"),
        ("STRAIGHTWIRE_WORKERS__A", " (did you mean STRAIGHTWIRE_WORKERS?)"),
        ("STRAIGHTWIRE_LOG__", " (did you mean STRAIGHTWIRE_LOG?)"),
        (
            "STRAIGHTWIRE_MODELS__GPT_3_5_TURBO__MODLE",
            " (did you mean STRAIGHTWIRE_MODELS__GPT_3_5_TURBO__MODEL?)",
        ),
        ("STRAIGHTWIRE_CONFIGURATION", " (did you mean STRAIGHTWIRE_CONFIG?)"),
        ("STRAIGHTWIRE_", ""),
        ("STRAIGHTWIRE_QQQQ", ""),
    ],
)
def test_an_unknown_variable(name: str, what: str, mistakes: Mistakes) -> None:
    assert mistakes(FILE, {name: "1"}) == [f"{name}: unknown variable{what}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRAIGHTWIRE_SERVICE_HOST", "10.0.0.1"),
        ("STRAIGHTWIRE_SERVICE_PORT", "8081"),
        ("STRAIGHTWIRE_SERVICE_PORT_HTTP", "8081"),
        ("STRAIGHTWIRE_PORT", "tcp://10.0.0.1:8081"),
        ("STRAIGHTWIRE_PORT_8081_TCP", "tcp://10.0.0.1:8081"),
        ("STRAIGHTWIRE_PORT_8081_TCP_ADDR", "10.0.0.1"),
        ("STRAIGHTWIRE_ADMIN_SERVICE_HOST", "10.0.0.1"),
        ("STRAIGHTWIRE_ADMIN_PORT", "tcp://10.0.0.1:9091"),
    ],
)
def test_variables_of_kubernetes_services_are_not_ours(name: str, value: str, load_text: Load) -> None:
    assert load_text(FILE, {name: value}) == load_text(FILE)


def test_a_header_called_like_theirs_is_ours(load_text: Load) -> None:
    environ = {"STRAIGHTWIRE_UPSTREAMS__MY_GPU_2__HEADERS__SERVICE_HOST": "a"}
    assert "service-host" in load_text(FILE, environ).upstreams["my-gpu.2"].headers


def test_but_a_slip_like_theirs_is_told(mistakes: Mistakes) -> None:
    (line,) = mistakes(FILE, {"STRAIGHTWIRE_ADMIN_PORT": "9091"})
    assert line == "STRAIGHTWIRE_ADMIN_PORT: unknown variable (did you mean STRAIGHTWIRE_ADMIN__PORT?)"


def test_mistakes_name_the_variable_in_the_place_of_the_line(mistakes: Mistakes) -> None:
    environ = {
        "STRAIGHTWIRE_LIMITS__EVENT": "huge",
        "STRAIGHTWIRE_LISTEN": "8081",
        "STRAIGHTWIRE_CORS": "{origins: [a]}",
        "STRAIGHTWIRE_REPAIRS": "{a: true",
        "STRAIGHTWIRE_LOG": "{level: info, level: debug}",
        "STRAIGHTWIRE_UPSTREAMS__NEW__URL": "nowhere",
        "STRAIGHTWIRE_MODELS__A__UPSTREAM": "my-gpu",
    }
    assert mistakes(FILE + "drain: x\n", environ) == [
        "config.yaml:7: drain: must be a duration such as 250ms, 5s or 1h30m, not 'x'",
        "STRAIGHTWIRE_CORS: cors.origins.0: must begin with http:// or https://",
        "STRAIGHTWIRE_LIMITS__EVENT: limits.event: must be a size such as 512KiB, 32MiB or 1GB, not 'huge'",
        "STRAIGHTWIRE_LISTEN: listen: must be HOST:PORT such as 127.0.0.1:8081, not '8081'",
        "STRAIGHTWIRE_LOG: log.level: is given twice, first at STRAIGHTWIRE_LOG",
        "STRAIGHTWIRE_MODELS__A__UPSTREAM: models.a.upstream: no such upstream (did you mean my-gpu.2?)",
        "STRAIGHTWIRE_REPAIRS: repairs: is not YAML: expected ',' or '}', but got '<stream end>'",
        "STRAIGHTWIRE_UPSTREAMS__NEW__URL: upstreams.new.url: must begin with http:// or https://",
    ]


def test_the_samples_are_those_of_the_schema() -> None:
    assert SAMPLES.keys() == {".".join(path) for path in ALL_PATHS}
    assert all(shape.at(path) is not None for path in ALL_PATHS)
    assert shape.at(("listen", "host", "x")) is None
    assert shape.at(("listen", "nope", "x")) is None
    json = shape.at(("upstreams", "a", "parameters", "set", "x"))
    assert json is not None
    assert json.kind is Kind.JSON
