import ipaddress
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from proxy.config.load import json_schema, load
from proxy.config.schema import ClientKey, Configuration, Upstream
from proxy.config.secrets import KeyDigest

from .conftest import Load, Mistakes

ONE = "upstreams: {a: {url: http://x}}\n"

ALL_AT_ONCE = """\
listen: {host: 127.0.0.1, prot: 8081}
workers: 0
upstreams:
  local:
    url: http://me:sk-secret@127.0.0.1:8080
    api_key: ${NOPE}
    timeouts: {connect: 5 parsecs, idel: 2m}
    repairs: {repeated-rol: false}
    headers: {"bad name": x, Connection: y}
    tls: {key: /nowhere}
  second:
    dialect: localai-v9
models:
  "*": {upstream: local}
  "gpt-*": {upstream: locl, model: "x*"}
cors: {origins: [chat.example]}
limits:
  event:
    1 furlong
keep_alive:
drain: 1
drain: 2
port: 3
timeout: 5
"""


def test_every_mistake_at_once_sorted_by_line(mistakes: Mistakes) -> None:
    options = {
        "known_repairs": ["repeated-role"],
        "known_dialects": ["openai", "localai-v1"],
        "overrides": {"workers": "x"},
    }
    assert mistakes(ALL_AT_ONCE, {"STRAIGHTWIRE_DRIAN": "1"}, **options) == [
        "config.yaml:1: listen.prot: unknown key (did you mean port?)",
        "config.yaml:5: upstreams.local.url: must not hold a user or password; give the key as api_key",
        "config.yaml:6: upstreams.local.api_key: the variable NOPE is not set; ${NOPE:-…} gives a default",
        (
            "config.yaml:7: upstreams.local.timeouts.connect: "
            "must be a duration such as 250ms, 5s or 1h30m, not '5 parsecs'"
        ),
        "config.yaml:7: upstreams.local.timeouts.idel: unknown key (did you mean idle?)",
        "config.yaml:8: upstreams.local.repairs.repeated-rol: unknown repair (did you mean repeated-role?)",
        'config.yaml:9: upstreams.local.headers."bad name": is not a header\'s name',
        "config.yaml:9: upstreams.local.headers.Connection: is a header that only the proxy can set",
        "config.yaml:10: upstreams.local.tls.key: cannot be read: /nowhere: No such file or directory",
        "config.yaml:11: upstreams.second.url: is missing",
        "config.yaml:12: upstreams.second.dialect: unknown dialect (did you mean localai-v1?)",
        (
            'config.yaml:15: models."gpt-*": is never reached: '
            '"*" at config.yaml:14 takes its models; put it before that'
        ),
        'config.yaml:15: models."gpt-*".model: must be one name, without * and ?',
        'config.yaml:15: models."gpt-*".upstream: no such upstream (did you mean local?)',
        "config.yaml:16: cors.origins.0: must begin with http:// or https://",
        "config.yaml:18: limits.event: must be a size such as 512KiB, 32MiB or 1GB, not '1 furlong'",
        "config.yaml:20: keep_alive: must be a duration such as 250ms, 5s or 1h30m, not an empty value",
        "config.yaml:22: drain: is given twice, first at config.yaml:21",
        "config.yaml:23: port: unknown key (did you mean listen.port or admin.port?)",
        "config.yaml:24: timeout: unknown key (did you mean upstreams.NAME.timeouts?)",
        "STRAIGHTWIRE_DRIAN: unknown variable (did you mean STRAIGHTWIRE_DRAIN?)",
        "--workers: workers: must be a whole number, not 'x'",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("listen: 127.0.0.1:8081", "listen: must be a mapping of keys and values, not text"),
        ("listen:", "listen: must be a mapping of keys and values, not an empty value"),
        ("listen: [a]", "listen: must be a mapping of keys and values, not a list"),
        ("listen: {host: ''}", "listen.host: must not be empty"),
        ("listen: {host: [a]}", "listen.host: must be text, not a list"),
        ("listen: {port: http}", "listen.port: must be a whole number, not 'http'"),
        ("listen: {port: 80.0}", "listen.port: must be a whole number, not '80.0'"),
        ("listen: {port: 0x50}", "listen.port: must be a whole number, not '0x50'"),
        ("listen: {port: 1_000}", "listen.port: must be a whole number, not '1_000'"),
        ("listen: {port: true}", "listen.port: must be a whole number, not 'true'"),
        ("listen: {port: 65536}", "listen.port: must be at most 65535, not '65536'"),
        ("listen: {port: -1}", "listen.port: must be at least 0, not '-1'"),
        ("listen: {path: none/socket}", "listen.path: the directory {}/none does not exist"),
        (
            f"listen: {{path: /{'x' * 107}}}",
            "listen.path: is longer than 107 bytes, the most for a unix socket",
        ),
        ("listen: {tls: {}}", "listen.tls.certificate: is missing"),
        (
            "listen: {tls: {certificate: none.crt}}",
            "listen.tls.certificate: cannot be read: {}/none.crt: No such file or directory",
        ),
        ("admin: {prt: 1}", "admin.prt: unknown key (did you mean port?)"),
        ("admin: false", "admin: must be a mapping of keys and values, not text"),
        ("workers: 0", "workers: must be at least 1, not '0'"),
        ("workers: 100000000", "workers: must be at most 1024, not '100000000'"),
        ("workers: many", "workers: must be a whole number, not 'many'"),
        (f"workers: {'1' * 5000}", f"workers: must be a whole number, not '{'1' * 60}…'"),
        ("models: []", "models: must be a mapping of keys and values, not a list"),
        ("models: {a: a}", "models.a: must be a mapping of keys and values, not text"),
        ("models: {a: {}}", "models.a.upstream: is missing"),
        ("models: {a: {upstream: a, model: ''}}", "models.a.model: must not be empty"),
        ("repairs: {a: no}", "repairs.a: must be true or false, not 'no'"),
        ("repairs: {a: 1}", "repairs.a: must be true or false, not '1'"),
        ("repairs: {a: True}", "repairs.a: must be true or false, not 'True'"),
        ("repairs: [a]", "repairs: must be a mapping of keys and values, not a list"),
        ("clients: {api_keys: {a: b}}", "clients.api_keys: must be a list such as [a, b], not a mapping"),
        (
            "log: {level: warn}",
            "log.level: must be debug, info, warning or error, not 'warn' (did you mean warning?)",
        ),
        ("log: {format: xml}", "log.format: must be text or json, not 'xml'"),
        ("log: {level: [info]}", "log.level: must be debug, info, warning or error, not a list"),
        ("trusted_proxies: 10.0.0.0/8", "trusted_proxies: must be a list such as [a, b], not text"),
        ("first_byte: 5s", "first_byte: unknown key (did you mean upstreams.NAME.timeouts.first_byte?)"),
        ("Workers: 1", "Workers: unknown key (did you mean workers?)"),
        ("qqqq: 1", "qqqq: unknown key"),
        ("? |\n  two\n  lines\n: x", '"two\\nlines\\n": unknown key'),
        ("1: x", "1: unknown key"),
    ],
)
def test_a_mistake(text: str, line: str, mistakes: Mistakes, tmp_path: Path) -> None:
    assert mistakes(ONE + text) == ["config.yaml:2: " + line.replace("{}", str(tmp_path), 1)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("urls: x", "urls: unknown key (did you mean url?)"),
        ("max_connections: -1", "max_connections: must be at least 0, not '-1'"),
        (
            "on_missing_finish: stap",
            "on_missing_finish: must be error or stop, not 'stap' (did you mean stop?)",
        ),
        ("timeouts: 5s", "timeouts: must be a mapping of keys and values, not text"),
        ("parameters: {drop: a}", "parameters.drop: must be a list such as [a, b], not text"),
        ("parameters: {drop: [[a]]}", "parameters.drop.0: must be text, not a list"),
        ("parameters: {set: [a]}", "parameters.set: must be a mapping of keys and values, not a list"),
        ("tls: {verify: off}", "tls.verify: must be true or false, not 'off'"),
        ("tls: {key: config.yaml}", "tls: has a key without a certificate"),
        ("tls: {ca: .}", "tls.ca: cannot be read: {} is not a regular file"),
        ("tls: {ca: ''}", "tls.ca: must be a path"),
        ("health: {interval: x}", "health.interval: must be a duration such as 250ms, 5s or 1h30m, not 'x'"),
    ],
)
def test_a_mistake_about_an_upstream(text: str, line: str, mistakes: Mistakes, tmp_path: Path) -> None:
    text = f"upstreams:\n  a:\n    url: http://x\n    {text}\n"
    assert mistakes(text) == ["config.yaml:4: upstreams.a." + line.replace("{}", str(tmp_path), 1)]


def test_a_value_used_by_alias_is_told_once_for_each_use(mistakes: Mistakes) -> None:
    text = "upstreams:\n  a: {url: http://x, timeouts: &t {idle: x}}\n  b: {url: http://x, timeouts: *t}\n"
    what = "must be a duration such as 250ms, 5s or 1h30m, not 'x'"
    assert mistakes(text + 'models: {"*": {upstream: a}}') == [
        f"config.yaml:2: upstreams.a.timeouts.idle: {what}",
        f"config.yaml:2: upstreams.b.timeouts.idle: {what}",
    ]


def test_a_whole_configuration(load_text: Load, tmp_path: Path) -> None:
    text = """\
listen: {host: 0.0.0.0, port: "443", tls: {certificate: config.yaml, key: config.yaml}}
admin: null
workers: 4
upstreams:
  local:
    url: http://gpu:8080/v1/
    dialect: localai-v1
    timeouts: {connect: 500ms, first_byte: 0, idle: 1m30s}
    max_connections: 4
    on_missing_finish: stop
    repairs: {repeated-role: false, missing-id: true}
    translations: {developer-role: true}
    parameters: {default: {temperature: 0.2}, set: {stop: [a]}, drop: [logit_bias]}
    headers: {X-Team: search}
    tls: {ca: config.yaml, verify: true}
    health: {path: /readyz, interval: 1s}
models: {gpt-4: {upstream: local, model: llama}, "*": {upstream: local}}
limits: {request_body: 1GB, event: 0, streams: 10}
repairs: {repeated-role: true, done: false}
log: {level: debug, format: json}
"""
    configuration = load_text(text)
    assert configuration.listen.port == 443
    assert configuration.listen.tls is not None
    assert configuration.listen.tls.certificate == tmp_path / "config.yaml"
    assert configuration.admin is None
    assert configuration.workers == 4
    upstream = configuration.upstreams["local"]
    assert (upstream.base, upstream.dialect, upstream.max_connections) == ("http://gpu:8080", "localai-v1", 4)
    assert tuple(upstream.timeouts.model_dump().values()) == (0.5, 0.0, 90.0)
    assert upstream.on_missing_finish == "stop"
    assert upstream.translations == {"developer-role": True}
    assert upstream.parameters.model_dump() == {
        "default": {"temperature": 0.2},
        "set": {"stop": ["a"]},
        "drop": ("logit_bias",),
    }
    assert (upstream.health.path, upstream.health.interval) == ("/readyz", 1.0)
    assert {name: (m.upstream, m.model) for name, m in configuration.models.items()} == {
        "gpt-4": ("local", "llama"),
        "*": ("local", None),
    }
    assert (configuration.limits.request_body, configuration.limits.event) == (10**9, 0)
    assert configuration.repairs_of("local") == {"repeated-role": False, "missing-id": True, "done": False}
    assert (configuration.log.level, configuration.log.format) == ("debug", "json")


def test_the_same_text_is_the_same_configuration(load_text: Load) -> None:
    assert load_text(ONE) == load_text(ONE)
    assert load_text(ONE) != load_text(ONE + "workers: 2")


def test_a_configuration_cannot_be_changed(load_text: Load) -> None:
    configuration = load_text(ONE)
    with pytest.raises(ValidationError, match="frozen"):
        configuration.workers = 2  # type: ignore[misc]


def test_it_can_be_made_of_values_as_well() -> None:
    keys = [ClientKey(key=KeyDigest(bytes(32)))]
    upstream = Upstream(url="http://x", api_key=SecretStr("sk-1"), headers={"X": "y"})
    configuration = Configuration(
        upstreams={"a": upstream},
        limits={"event": 0},
        drain=1.5,
        clients={"api_keys": keys},
        repairs={"a": True},
        listen={"port": 0, "path": Path("socket")},
        trusted_proxies=[ipaddress.ip_network("10.0.0.0/8")],
    )
    assert Configuration.model_validate(configuration) is configuration
    assert configuration.upstreams["a"] == upstream
    assert configuration.clients.api_keys == tuple(keys)
    assert configuration.drain == 1.5
    assert configuration.models["*"].upstream == "a"


def test_the_only_upstream_serves_every_model(load_text: Load) -> None:
    for text in (ONE, ONE + "models: {}"):
        ((name, model),) = load_text(text).models.items()
        assert (name, model.upstream, model.model) == ("*", "a", None)
    assert list(Configuration.model_validate({"upstreams": {"b": {"url": "http://x"}}}).models) == ["*"]


def test_nothing_given_at_all(mistakes: Mistakes) -> None:
    what = (
        "upstreams: is missing; write upstreams: {local: {url: http://127.0.0.1:8080}}, "
        "or give --upstream URL or STRAIGHTWIRE_UPSTREAM"
    )
    assert mistakes(None) == [f"configuration: {what}"]
    assert mistakes("workers: 1") == [f"config.yaml:1: {what}"]
    assert mistakes("workers: 1\nupstreams: {}") == [f"config.yaml:2: {what}"]


class TestCommandLine:
    def test_an_upstream_alone(self, load_text: Load) -> None:
        configuration = load_text(
            None, overrides={"upstream": "http://x/v1", "listen": None, "workers": None}
        )
        assert configuration.upstreams["default"].base == "http://x"
        assert list(configuration.models) == ["*"]

    def test_it_wins_over_environment_and_file(self, load_text: Load) -> None:
        environ = {
            "STRAIGHTWIRE_UPSTREAM": "http://environment",
            "STRAIGHTWIRE_LISTEN__PORT": "2",
            "STRAIGHTWIRE_WORKERS": "2",
        }
        overrides = {"upstream": "http://line", "listen": "[::1]:3", "workers": 3}
        text = ONE + "listen: {port: 1, tls: {certificate: config.yaml}}\nworkers: 1"
        configuration = load_text(text, environ, overrides=overrides)
        assert configuration.upstreams["a"].url == "http://line"
        assert (configuration.listen.host, configuration.listen.port) == ("::1", 3)
        assert configuration.listen.tls is not None
        assert configuration.workers == 3

    def test_an_address_wins_over_a_socket(self, load_text: Load) -> None:
        listen = load_text(ONE + "listen: {path: socket}", overrides={"listen": "127.0.0.1:0"}).listen
        assert (listen.path, listen.port) == (None, 0)

    def test_its_mistakes_name_the_option(self, mistakes: Mistakes) -> None:
        overrides = {"upstream": "nowhere", "listen": "127.0.0.1:port", "workers": -1}
        assert mistakes(None, overrides=overrides) == [
            "--listen: listen.port: must be a whole number, not 'port'",
            "--upstream: upstreams.default.url: must begin with http:// or https://",
            "--workers: workers: must be at least 1, not '-1'",
        ]
        assert mistakes(ONE, overrides={"listen": "8081"}) == [
            "--listen: listen: must be HOST:PORT such as 127.0.0.1:8081, not '8081'"
        ]

    def test_an_option_that_there_is_not(self) -> None:
        with pytest.raises(TypeError, match="drain cannot be overridden"):
            load(None, environ={}, overrides={"drain": "5s"})


def test_json_schema_names_every_section() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(Configuration.model_fields)
    assert schema["$defs"]["Upstream"]["required"] == ["url"]
    a_key_alone, with_a_name = schema["$defs"]["ClientKey"]["anyOf"]
    assert a_key_alone == {"type": "string"}
    assert list(with_a_name["properties"]) == ["name", "key"]


def test_json_schema_lets_variables_stand_for_numbers_switches_and_words() -> None:
    definitions = json_schema()["$defs"]
    variable = {"type": "string", "pattern": r"\$\{"}
    port = definitions["Listen"]["properties"]["port"]
    assert port["anyOf"] == [{"type": "integer", "minimum": 0, "maximum": 65535}, variable]
    assert port["default"] == 8081
    assert definitions["UpstreamTls"]["properties"]["verify"]["anyOf"] == [{"type": "boolean"}, variable]
    assert definitions["Log"]["properties"]["format"]["anyOf"] == [
        {"type": "string", "enum": ["text", "json"]},
        variable,
    ]


def test_without_a_file_the_yaml_parser_is_not_loaded() -> None:
    program = (
        "import sys; from proxy.config.load import load; "
        "load(None, environ={'STRAIGHTWIRE_UPSTREAM': 'http://x'}); print('yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
