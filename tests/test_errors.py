"""The tree of exceptions, its statuses, and OpenAI's error body."""

import inspect

import pytest
from openai.types.shared import ErrorObject

from proxy import errors
from proxy.errors import (
    ClientError,
    ConfigurationError,
    InvalidRequest,
    Overloaded,
    RequestTooLarge,
    Stopped,
    StraightwireError,
    Unauthenticated,
    UnknownModel,
    UpstreamError,
    UpstreamMalformed,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
    error_body,
    forget_frames,
    type_for_status,
)

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "server_error"),
        (503, "server_error"),
        (599, "server_error"),
    ],
)
def test_type_for_status(status, type_):
    assert type_for_status(status) == type_


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_in_one_tree_that_the_module_draws(cls):
    assert issubclass(cls, StraightwireError)
    assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("cls", "parent", "status", "type_", "code"),
    [
        (InvalidRequest, ClientError, 400, "invalid_request_error", None),
        (Unauthenticated, ClientError, 401, "authentication_error", "invalid_api_key"),
        (UnknownModel, ClientError, 404, "not_found_error", "model_not_found"),
        (RequestTooLarge, ClientError, 413, "invalid_request_error", "request_too_large"),
        (Overloaded, StraightwireError, 503, "server_error", "overloaded"),
        (Stopped, StraightwireError, 503, "server_error", "proxy_stopped"),
        (UpstreamUnreachable, UpstreamError, 502, "server_error", "upstream_unreachable"),
        (UpstreamTimeout, UpstreamError, 504, "server_error", "upstream_timeout"),
        (UpstreamTruncated, UpstreamError, 502, "server_error", "upstream_truncated"),
        (UpstreamMalformed, UpstreamError, 502, "server_error", "upstream_malformed"),
        (UpstreamReported, UpstreamError, 502, "server_error", None),
    ],
)
def test_error_knows_its_status_and_its_place(cls, parent, status, type_, code):
    error = cls("what happened")

    assert isinstance(error, parent)
    assert (error.status, error.type, error.code) == (status, type_, code)


@pytest.mark.parametrize("cls", CLASSES)
def test_error_body_has_openais_form(cls):
    body = error_body(cls("what happened"))

    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    error = ErrorObject.model_validate(body["error"], strict=True)
    assert error.message == "what happened"


def test_failures_of_the_upstream_have_outcomes_of_their_own():
    failures = [UpstreamUnreachable, UpstreamTimeout, UpstreamTruncated, UpstreamMalformed, UpstreamReported]

    assert len({cls.outcome for cls in failures}) == len(failures)
    assert UpstreamReported.outcome == "upstream_error"


def test_client_error_names_the_parameter_and_the_code():
    error = InvalidRequest("n must be positive", param="n", code="out_of_range")

    assert error_body(error)["error"] == {
        "message": "n must be positive",
        "type": "invalid_request_error",
        "param": "n",
        "code": "out_of_range",
    }
    assert InvalidRequest("another").param is None


def test_unknown_model_points_at_the_model():
    assert error_body(UnknownModel("no such model"))["error"]["param"] == "model"


def test_configuration_error_is_not_the_clients():
    assert not issubclass(ConfigurationError, ClientError | UpstreamError)


def test_overloaded_says_when_to_come_back():
    assert Overloaded("full").retry_after > 0


def test_reported_error_takes_its_type_from_its_status():
    assert UpstreamReported("slow down", status=429).type == "rate_limit_error"


def test_reported_error_keeps_what_the_upstream_said():
    error = UpstreamReported(
        "still loading",
        status=503,
        type="unavailable",
        code="loading",
        param="model",
        extra={"loading": True},
    )

    assert error.status == 503
    assert error_body(error)["error"] == {
        "message": "still loading",
        "type": "unavailable",
        "param": "model",
        "code": "loading",
        "loading": True,
    }


def test_reported_extras_do_not_leak_into_the_next_error():
    UpstreamReported("first").extra["seen"] = True

    assert UpstreamReported("second").extra == {}


def test_reported_extras_do_not_replace_the_four_keys():
    error = UpstreamReported(
        "the message", code="the code", extra={"code": 500, "message": ["raw"], "hint": "x"}
    )

    assert error_body(error)["error"] == {
        "message": "the message",
        "type": "server_error",
        "param": None,
        "code": "the code",
        "hint": "x",
    }


def test_error_that_is_kept_holds_no_frame():
    def fail():
        try:
            raise TimeoutError
        except TimeoutError as cause:
            raise UpstreamTimeout("It took too long.") from cause

    with pytest.raises(UpstreamTimeout) as raised:
        fail()
    error = raised.value
    cause = error.__cause__
    forget_frames(error)

    assert str(error) == "It took too long."
    assert (error.__traceback__, error.__cause__, error.__context__, cause.__traceback__) == (None,) * 4


def test_errors_that_cause_each_other_are_told_apart():
    one, other = StraightwireError("one"), StraightwireError("other")
    one.__cause__, other.__cause__ = other, one
    forget_frames(one)

    assert (one.__cause__, other.__cause__) == (None, None)
