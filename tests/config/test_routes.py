import pytest

from proxy.config.routes import Route, Routes
from proxy.config.schema import Model
from proxy.errors import InvalidRequest, UnknownModel

ROUTES = Routes(
    {
        "gpt-4*": Model(upstream="big", model="llama-70b"),
        "gpt-4o-mini": Model(upstream="small", model="phi"),
        "local": Model(upstream="small"),
        "gpt-*": Model(upstream="small"),
    }
)
CATCHING = Routes({"a": Model(upstream="one"), "*": Model(upstream="two")})


@pytest.mark.parametrize(
    ("model", "upstream", "name"),
    [
        ("gpt-4o-mini", "small", "phi"),
        ("gpt-4o", "big", "llama-70b"),
        ("gpt-3.5-turbo", "small", None),
        ("local", "small", None),
    ],
)
def test_exact_names_first_then_patterns_in_order(model: str, upstream: str, name: str | None) -> None:
    assert ROUTES.resolve(model) == Route(upstream, name)


@pytest.mark.parametrize("model", ["Local", "GPT-4", "xgpt-4", "l", "gpt"])
def test_nothing_but_the_pattern_matches(model: str) -> None:
    with pytest.raises(UnknownModel):
        ROUTES.resolve(model)


def test_an_unknown_model_is_404_with_the_nearest_names() -> None:
    with pytest.raises(UnknownModel) as caught:
        ROUTES.resolve("locla")
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert str(error) == "The model 'locla' is not served here. Did you mean local?"


def test_an_unknown_model_like_no_other() -> None:
    with pytest.raises(UnknownModel, match=r"^The model 'x' is not served here\.$"):
        ROUTES.resolve("x")


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(UnknownModel) as caught:
        ROUTES.resolve("x" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("model", [None, ""])
def test_a_request_without_a_model_goes_where_all_others_go(model: str | None) -> None:
    assert CATCHING.resolve(model) == Route("two", None)


def test_a_request_without_a_model_gets_the_one_that_is_mapped() -> None:
    assert Routes({"*": Model(upstream="one", model="m")}).resolve(None) == Route("one", "m")


def test_a_request_without_a_model_is_refused_where_nothing_catches_it() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ROUTES.resolve(None)
    assert (caught.value.status, caught.value.param) == (400, "model")


def test_everything_else_passes_under_its_own_name() -> None:
    assert CATCHING.resolve("b/c:d") == Route("two", None)


def test_aliases_are_the_exact_names() -> None:
    assert dict(ROUTES.aliases) == {"gpt-4o-mini": Route("small", "phi"), "local": Route("small", None)}
