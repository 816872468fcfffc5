import pytest

from .conftest import Load, Mistakes

ONE = "upstreams: {a: {url: http://x}}\n"
TWO = "upstreams: {a: {url: http://x}, b: {url: http://y}}\n"


def test_several_upstreams_need_models(mistakes: Mistakes) -> None:
    what = 'models: is missing; with several upstreams say which model goes where, such as "*": {upstream: a}'
    assert mistakes(TWO) == [f"config.yaml:1: {what}"]
    assert mistakes(TWO + "models: {}") == [f"config.yaml:2: {what}"]


def test_a_model_without_its_upstream(mistakes: Mistakes) -> None:
    text = TWO + "models:\n  x: {upstream: c}\n  y: {upstream: gpu}\n"
    assert mistakes(text) == [
        "config.yaml:3: models.x.upstream: no such upstream (there are: a, b)",
        "config.yaml:4: models.y.upstream: no such upstream (there are: a, b)",
    ]
    many = ", ".join(f"upstream-{n}: {{url: http://x}}" for n in range(20))
    text = f"upstreams: {{{many}}}\nmodels: {{x: {{upstream: qqq}}}}"
    assert mistakes(text) == ["config.yaml:2: models.x.upstream: no such upstream"]


def test_names_of_the_wire(load_text: Load, mistakes: Mistakes) -> None:
    text = """\
upstreams:
  a:
    url: http://x
    dialect: localai-v3
    repairs: {repeated-role: false, repeated: true}
    translations: {developer-role: true, developer-rule: true}
repairs:
  Repeated-Role: true
"""
    known = {
        "known_repairs": ("repeated-role", "missing-id"),
        "known_dialects": {"openai": frozenset(), "localai-v1": frozenset()},
        "known_translations": {"developer-role"},
    }
    assert mistakes(text, **known) == [
        "config.yaml:4: upstreams.a.dialect: unknown dialect (did you mean localai-v1?)",
        "config.yaml:5: upstreams.a.repairs.repeated: unknown repair (did you mean repeated-role?)",
        (
            "config.yaml:6: upstreams.a.translations.developer-rule: "
            "unknown translation (did you mean developer-role?)"
        ),
        "config.yaml:8: repairs.Repeated-Role: unknown repair (did you mean repeated-role?)",
    ]
    assert mistakes(ONE.replace("}}", ", dialect: xyz}}"), **known) == [
        "config.yaml:1: upstreams.a.dialect: unknown dialect (there are: localai-v1, openai)"
    ]
    assert load_text(text).upstreams["a"].dialect == "localai-v3"


def test_patterns_that_are_never_reached(mistakes: Mistakes) -> None:
    text = """\
models:
  "gpt-*": {upstream: a}
  "gpt-4?": {upstream: a}
  gpt-4: {upstream: a}
  "*-mini": {upstream: a}
  "*": {upstream: a}
  "?*": {upstream: a}
  "**": {upstream: a}
  exact: {upstream: a}
"""
    rest = "takes its models; put it before that"
    assert mistakes(ONE + text) == [
        f'config.yaml:4: models."gpt-4?": is never reached: "gpt-*" at config.yaml:3 {rest}',
        f'config.yaml:8: models."?*": is never reached: "*" at config.yaml:7 {rest}',
        f'config.yaml:9: models."**": is never reached: "*" at config.yaml:7 {rest}',
    ]


@pytest.mark.parametrize("name", ["gpt 4", "", "-a", "a/b", "ü", "a\\n"])
def test_an_upstreams_name(name: str, mistakes: Mistakes) -> None:
    (line,) = mistakes(f'upstreams: {{"{name}": {{url: http://x}}}}')
    assert line.endswith(": an upstream's name has letters, digits, '.', '_' and '-' only")


@pytest.mark.parametrize("header", ["Connection", "content-length", "Transfer-Encoding", "TE", "upgrade"])
def test_headers_of_the_connection(header: str, mistakes: Mistakes) -> None:
    assert mistakes(f"upstreams: {{a: {{url: http://x, headers: {{{header}: x}}}}}}") == [
        f"config.yaml:1: upstreams.a.headers.{header}: is a header that only the proxy can set"
    ]


@pytest.mark.parametrize("name", ['""', "a:b", "'a b'", '"a\\r"', "ä"])
def test_what_is_no_header(name: str, mistakes: Mistakes) -> None:
    (line,) = mistakes(f"upstreams: {{a: {{url: http://x, headers: {{{name}: x}}}}}}")
    assert line.endswith(": is not a header's name")


def test_a_socket_and_an_address(mistakes: Mistakes) -> None:
    assert mistakes(ONE + "listen:\n  port: 80\n  path: socket\n") == [
        "config.yaml:4: listen.path: stands instead of host and port; remove those"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("admin: {port: 8081}", "config.yaml:2: admin.port: listen and admin cannot share port 8081"),
        ("listen: {port: 9091}", "config.yaml:2: listen.port: listen and admin cannot share port 9091"),
        (
            "listen: {port: 80, host: 0.0.0.0}\nadmin: {port: 80}",
            "config.yaml:3: admin.port: listen and admin cannot share port 80",
        ),
    ],
)
def test_listeners_on_one_port(text: str, line: str, mistakes: Mistakes) -> None:
    assert mistakes(ONE + text) == [line]


@pytest.mark.parametrize(
    "text",
    [
        "admin: {port: 8081, host: 127.0.0.2}",
        "listen: {port: 0}\nadmin: {port: 0}",
        "listen: {path: socket}\nadmin: {port: 8081}",
        "listen: {port: 9091}\nadmin: null",
    ],
)
def test_listeners_that_do_not_meet(text: str, load_text: Load) -> None:
    assert load_text(ONE + text)


def test_connections_enough_for_all_workers(load_text: Load, mistakes: Mistakes) -> None:
    text = "workers: 4\nupstreams:\n  a:\n    url: http://x\n    max_connections: {}\n"
    what = "upstreams.a.max_connections: 3 are too few for 4 workers; each needs one"
    assert mistakes(text.format(3)) == [f"config.yaml:5: {what}"]
    for enough in (0, 4):
        load_text(text.format(enough))
