"""What only several values together show. Values of the wrong type are left to the schema."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.config.patterns import covers, is_pattern
from proxy.config.schema import Configuration
from proxy.config.tree import KeyPath, Mistake, Tree, did_you_mean

_UPSTREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
# RFC 9110, section 5.6.2: token.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
#: Headers that belong to a connection or a body, and so to whoever sends it.
_HEADERS_OF_OURS: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
        *("content-length", "expect", "transfer-encoding"),
    }
)
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Vocabulary:
    """The names that the wire knows; None: they are not checked.

    Attributes:
        fixed: the repairs that cannot be switched off.
    """

    repairs: Collection[str] | None = None
    dialects: Collection[str] | None = None
    translations: Collection[str] | None = None
    fixed: Collection[str] = ()


def of(tree: Tree, vocabulary: Vocabulary) -> Iterator[Mistake]:
    """Yield every mistake that no single value shows."""
    yield from _upstreams(tree)
    yield from _repairs(tree, ("repairs",), vocabulary)
    for name in tree.section("upstreams"):
        yield from _upstream(tree, ("upstreams", name), vocabulary)
    for name in tree.section("models"):
        yield from _model(tree, name)
    yield from _unreachable(tree)
    yield from _listeners(tree)


def of_values(configuration: Configuration, tree: Tree) -> Iterator[Mistake]:
    """Yield the mistakes that show when every value is of its type."""
    for name, upstream in configuration.upstreams.items():
        if 0 < upstream.max_connections < configuration.workers:
            yield _at(
                tree,
                ("upstreams", name, "max_connections"),
                f"{upstream.max_connections} are too few for {configuration.workers} workers; each needs one",
            )


def _upstreams(tree: Tree) -> Iterator[Mistake]:
    given = tree.get(("upstreams",))
    names = list(tree.section("upstreams"))
    if (given is None and "upstreams" not in tree.data) or given == {}:
        yield _at(
            tree,
            ("upstreams",),
            "is missing; write upstreams: {local: {url: http://127.0.0.1:8080}}, "
            "or give --upstream URL or STRAIGHTWIRE_UPSTREAM",
        )
    if len(names) > 1 and tree.data.get("models", {}) == {}:
        yield _at(
            tree,
            ("models",),
            "is missing; with several upstreams say which model goes where, "
            f'such as "*": {{upstream: {names[0]}}}',
        )


def _upstream(tree: Tree, path: tuple[str, ...], vocabulary: Vocabulary) -> Iterator[Mistake]:
    if not _UPSTREAM_NAME.fullmatch(path[-1]):
        yield _at(tree, path, "an upstream's name has letters, digits, '.', '_' and '-' only")
    yield from _repairs(tree, (*path, "repairs"), vocabulary)
    yield from _names(tree, (*path, "translations"), vocabulary.translations, "translation")
    dialect = tree.get((*path, "dialect"))
    known = vocabulary.dialects
    if known is not None and isinstance(dialect, str) and dialect not in known:
        hint = did_you_mean(dialect, known) or _all(known)
        yield _at(tree, (*path, "dialect"), f"unknown dialect{hint}")
    for name in tree.section(*path, "headers"):
        if not _HEADER_NAME.fullmatch(name):
            yield _at(tree, (*path, "headers", name), "is not a header's name")
        elif name.lower() in _HEADERS_OF_OURS:
            yield _at(tree, (*path, "headers", name), "is a header that only the proxy can set")


def _repairs(tree: Tree, path: tuple[str, ...], vocabulary: Vocabulary) -> Iterator[Mistake]:
    yield from _names(tree, path, vocabulary.repairs, "repair")
    for name, value in tree.section(*path).items():
        if name in vocabulary.fixed and value in (False, "false"):
            yield _at(tree, (*path, name), "cannot be switched off; without it no stream is written")


def _names(tree: Tree, path: tuple[str, ...], known: Collection[str] | None, noun: str) -> Iterator[Mistake]:
    if known is None:
        return
    for name in tree.section(*path):
        if name not in known:
            yield _at(tree, (*path, name), f"unknown {noun}{did_you_mean(name, known)}")


def _model(tree: Tree, name: str) -> Iterator[Mistake]:
    path = ("models", name)
    upstream = tree.get((*path, "upstream"))
    known = tree.section("upstreams")
    if isinstance(upstream, str) and upstream not in known and known:
        hint = did_you_mean(upstream, known) or _all(known)
        yield _at(tree, (*path, "upstream"), f"no such upstream{hint}")
    model = tree.get((*path, "model"))
    if isinstance(model, str) and is_pattern(model):
        yield _at(tree, (*path, "model"), "must be one name, without * and ?")


def _unreachable(tree: Tree) -> Iterator[Mistake]:
    """Yield the patterns of which an earlier one leaves nothing."""
    earlier: list[str] = []
    for name in tree.section("models"):
        if not is_pattern(name):
            continue
        wider = next((other for other in earlier if covers(other, name)), None)
        if wider is None:
            earlier.append(name)
            continue
        where = tree.place(("models", wider))
        yield _at(
            tree,
            ("models", name),
            f'is never reached: "{wider}" at {where} takes its models; put it before that',
        )


def _listeners(tree: Tree) -> Iterator[Mistake]:
    listen: Mapping[str, Any] = tree.section("listen")
    if listen.get("path") is not None and {"host", "port"} & listen.keys():
        yield _at(tree, ("listen", "path"), "stands instead of host and port; remove those")
    admin = tree.data.get("admin", {})
    if not isinstance(admin, dict) or listen.get("path") is not None:
        return
    ports = str(listen.get("port", 8081)), str(admin.get("port", 9091))
    hosts = {str(section.get("host", "127.0.0.1")) for section in (listen, admin)}
    if ports[0] == ports[1] != "0" and (len(hosts) == 1 or hosts & _EVERY_ADDRESS):
        path = ("admin", "port") if "port" in admin else ("listen", "port")
        yield _at(tree, path, f"listen and admin cannot share port {ports[0]}")


def _all(known: Collection[str]) -> str:
    return f" (there are: {', '.join(sorted(known))})" if len(known) <= 10 else ""


def _at(tree: Tree, path: KeyPath, what: str) -> Mistake:
    return Mistake(tree.place(path), path, what)
