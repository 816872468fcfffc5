import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.variables import expand

from .conftest import Load, Mistakes

ENVIRON = {"HOST": "gpu-1", "PORT": "8080", "EMPTY": "", "NESTED": "${HOST}", "_a1": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://${HOST}:${PORT}", "http://gpu-1:8080"),
        ("${NOPE:-default}", "default"),
        ("${NOPE:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${HOST:-default}", "gpu-1"),
        ("${NOPE:-a:-b $x}", "a:-b $x"),
        ("${NESTED}", "${HOST}"),
        ("${_a1}", "x"),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("$$$$", "$$"),
        ("$$${HOST}", "$gpu-1"),
        ("$HOST costs $5 in total$", "$HOST costs $5 in total$"),
        ("no variable", "no variable"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, ENVIRON) == (expected, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${NOPE}", "the variable NOPE is not set; ${NOPE:-…} gives a default"),
        ("${EMPTY}", "the variable EMPTY is empty; ${EMPTY:-…} gives a default"),
        ("${HSOT}", "the variable HSOT is not set (did you mean HOST?); ${HSOT:-…} gives a default"),
        ("${}", "must have ${NAME} or ${NAME:-default}; for ${ itself write $${"),
        ("${HOST", "must have ${NAME} or ${NAME:-default}; for ${ itself write $${"),
        ("${1A}", "must have ${NAME} or ${NAME:-default}; for ${ itself write $${"),
        ("${HOST-x}", "must have ${NAME} or ${NAME:-default}; for ${ itself write $${"),
        ("${A:-${HOST}}", "must have ${NAME} or ${NAME:-default}; for ${ itself write $${"),
    ],
)
def test_what_cannot_be_expanded(text: str, problem: str) -> None:
    assert expand(text, ENVIRON)[1] == [problem]


def test_every_problem_of_a_text_is_told() -> None:
    assert len(expand("${A} ${B} ${", {})[1]) == 3


@given(st.text())
def test_a_text_comes_out_as_it_was_once_its_dollars_are_doubled(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}) == (text, [])


def test_every_missing_variable_is_told_with_its_line_and_nothing_else_about_it(mistakes: Mistakes) -> None:
    text = """\
listen:
  port: ${PROT}
upstreams:
  a:
    url: http://${HOST}:${NOPE}
    timeouts: {idle: "${IDLE}"}
"""
    assert mistakes(text, {"HOST": "gpu-1"}) == [
        "config.yaml:2: listen.port: the variable PROT is not set; ${PROT:-…} gives a default",
        "config.yaml:5: upstreams.a.url: the variable NOPE is not set; ${NOPE:-…} gives a default",
        "config.yaml:6: upstreams.a.timeouts.idle: the variable IDLE is not set; ${IDLE:-…} gives a default",
    ]


def test_a_variable_brings_a_value_and_never_yaml(load_text: Load) -> None:
    environ = {"NAME": 'x"}\nadmin: null #'}
    configuration = load_text(
        'upstreams: {a: {url: http://x}}\nlog: {level: info}\nmodels: {"*": {upstream: a, model: "${NAME}"}}',
        environ,
    )
    assert configuration.models["*"].model == environ["NAME"]
    assert configuration.admin is not None


def test_a_variable_can_be_a_number_a_switch_a_duration_or_nothing(load_text: Load) -> None:
    text = """\
listen: {port: "${PORT}"}
admin: ${ADMIN:-null}
upstreams:
  a: {url: "http://x", tls: {verify: "${VERIFY}"}, timeouts: {idle: "${IDLE:-5s}"}}
"""
    configuration = load_text(text, {"PORT": "80", "VERIFY": "false"})
    assert configuration.listen.port == 80
    assert configuration.admin is None
    assert configuration.upstreams["a"].tls.verify is False
    assert configuration.upstreams["a"].timeouts.idle == 5


def test_a_wrong_value_from_a_variable_is_not_shown(mistakes: Mistakes) -> None:
    text = "upstreams: {a: {url: http://x}}\nworkers: ${KEY}\ndrain: ${KEY}\nlog: {level: '${KEY}'}"
    assert mistakes(text, {"KEY": "sk-secret"}) == [
        "config.yaml:2: workers: must be a whole number, not '${KEY}'",
        "config.yaml:3: drain: must be a duration such as 250ms, 5s or 1h30m, not '${KEY}'",
        "config.yaml:4: log.level: must be debug, info, warning or error, not '${KEY}'",
    ]


def test_a_key_cannot_be_a_variable(mistakes: Mistakes) -> None:
    assert mistakes(
        "upstreams:\n  ${NAME}: {url: http://x}\n  a: {url: http://x}", {"NAME": "sk-secret"}
    ) == ["config.yaml:2: upstreams: has a variable in a key; they stand in values only"]
