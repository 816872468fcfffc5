"""The catalogue as a page to read. docs/translations.md is what this returns."""

from typing import Final

from proxy.wire.translations.catalogue import DIALECTS, ORDER
from proxy.wire.translations.entry import Translation

_HEAD: Final = """\
# Translations of requests

Old servers, and some new ones, do not understand all that today's clients ask for. A translation says the
same in words that the server knows. None is on unless the upstream's configuration asks for it: by a
`dialect`, which is a set of translations, or one by one:

```yaml
upstreams:
  local:
    url: http://127.0.0.1:8080
    dialect: localai-v1
    translations: {no-type-lists: false}
    parameters: {default: {temperature: 0.2}, set: {seed: 7}, drop: [logit_bias]}
```

A request that needs none of them reaches the server with the very bytes that the client sent, but for the
name of the model where the configuration maps it. Each time a translation acts it is counted under its name,
`parameters` as `parameters.default`, `parameters.set` and `parameters.drop`.

What `parameters` drops is dropped first, and again after the translations; `default` and `set` come last, in
the server's own words. A default stands in for what is missing or null.
"""


def as_markdown() -> str:
    """Return the page."""
    dialects = [
        f"| `{name}` | {dialect.servers} | {_listed(dialect.translations)} |"
        for name, dialect in DIALECTS.items()
    ]
    table = ["## Dialects", "", "| dialect | servers | translations |", "|---|---|---|", *dialects]
    return "\n".join([_HEAD, *table, "", "## Translations", "", *map(_section, ORDER)])


def _section(entry: Translation) -> str:
    dialects = [name for name, dialect in DIALECTS.items() if entry.name in dialect.translations]
    return f"""\
### {entry.name}

{entry.summary}

Without it: {entry.why}.

What the client sends, and what leaves:

```json
{entry.before}
{entry.after}
```

Dialects: {", ".join(f"`{name}`" for name in dialects) or "none; by its own switch"}. \
Sources: {", ".join(entry.sources)}.
"""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"`{entry.name}`" for entry in ORDER if entry.name in names) or "none"
