import pytest

from proxy.config.shares import share

from .conftest import Load


@pytest.mark.parametrize(
    ("limit", "workers", "shares"),
    [(0, 2, [0, 0]), (7, 3, [3, 2, 2]), (4, 4, [1, 1, 1, 1]), (5, 1, [5])],
)
def test_workers_share_the_connections(load_text: Load, limit: int, workers: int, shares: list[int]) -> None:
    text = f"workers: {workers}\nupstreams: {{a: {{url: http://x, max_connections: {limit}}}}}"
    configuration = load_text(text)
    parts = [share(configuration, number) for number in range(1, workers + 1)]
    assert [part.upstreams["a"].max_connections for part in parts] == shares
    assert {part.admin for part in parts} == {None}


def test_no_share_is_no_limit(load_text: Load) -> None:
    """A reload can bring fewer connections than there are workers, whose number it cannot change."""
    configuration = load_text("upstreams: {a: {url: http://x, max_connections: 1}}")
    grown = configuration.model_copy(update={"workers": 2})
    assert [share(grown, number).upstreams["a"].max_connections for number in (1, 2)] == [1, 1]
