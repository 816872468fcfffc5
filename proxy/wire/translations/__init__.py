"""Translations of requests, for upstreams that do not understand all of today's.

`compile_translations` makes a `Translator` from an upstream's configuration; the
server gives it each request's body. `catalogue` holds the entries and the dialects.
"""

from proxy.wire.translations.catalogue import CATALOGUE, DIALECTS, ORDER, Dialect
from proxy.wire.translations.entry import Translation
from proxy.wire.translations.translator import Parameters, Translator, compile_translations

__all__ = [
    "CATALOGUE",
    "DIALECTS",
    "ORDER",
    "Dialect",
    "Parameters",
    "Translation",
    "Translator",
    "compile_translations",
]
