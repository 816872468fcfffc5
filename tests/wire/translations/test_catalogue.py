"""The catalogue: each entry does what its example says, and the page in docs/ tells of it."""

from pathlib import Path

import orjson
import pytest

from proxy.wire.translations import CATALOGUE, DIALECTS, ORDER, Translation, compile_translations
from proxy.wire.translations.document import as_markdown
from tests.wire.translations.asking import translate

PAGE = Path(__file__).parents[3] / "docs" / "translations.md"
WRITE = (
    """python -c 'from proxy.wire.translations.document import as_markdown as page; print(page(), end="")'"""
)
entry_of = pytest.mark.parametrize("entry", ORDER, ids=lambda entry: entry.name)


@entry_of
def test_example_of_an_entry_is_what_it_does(entry: Translation) -> None:
    told, counts = translate(orjson.loads(entry.before), entry.name)
    assert told == orjson.loads(entry.after)
    assert set(counts) == {entry.name}


@entry_of
def test_entry_acts_only_where_it_is_on(entry: Translation) -> None:
    body = entry.before.encode()
    assert compile_translations().apply(body, None) == (body, {})
    others = [other.name for other in ORDER if other is not entry]
    _, counts = translate(orjson.loads(body), *others)
    assert entry.name not in counts


@entry_of
def test_entry_tells_what_there_is_to_know(entry: Translation) -> None:
    assert CATALOGUE[entry.name] is entry
    assert entry.summary.endswith(".")
    assert len(entry.summary) < 110
    assert entry.why
    assert entry.sources


def test_every_entry_is_needed_by_a_dialect_and_every_dialect_names_entries() -> None:
    assert len(CATALOGUE) == len(ORDER)
    assert set().union(*(dialect.translations for dialect in DIALECTS.values())) == set(CATALOGUE)
    assert DIALECTS["openai"].translations == frozenset()


def test_page_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text("utf-8") == as_markdown(), f"out of date; {WRITE} >docs/translations.md"
