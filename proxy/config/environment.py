"""Every key as a variable: `limits.event` is STRAIGHTWIRE_LIMITS__EVENT.

Two underscores stand between section and key. Names that the operator chose
match whatever their case and with `_` for all but letters and digits; a new name
is taken in lower case. A section, table or list is written as YAML on one line,
and takes the place of the one in the file; a listener may be HOST:PORT. A
variable that is empty counts as not set. STRAIGHTWIRE_UPSTREAM is the URL of the
only upstream.
"""

import re
from collections.abc import Mapping
from typing import Final

from proxy.config import shape
from proxy.config.addresses import host_and_port
from proxy.config.patterns import is_pattern
from proxy.config.scalars import NULLS, Scalar
from proxy.config.schema import Admin, Listen
from proxy.config.shape import Kind, Shape
from proxy.config.tree import Mistake, Place, Tree, did_you_mean

PREFIX: Final = "STRAIGHTWIRE_"
#: Names the configuration file.
FILE: Final = "STRAIGHTWIRE_CONFIG"
#: The URL of the only upstream; alone, a whole configuration.
UPSTREAM: Final = "STRAIGHTWIRE_UPSTREAM"

# Names in these tables have hyphens, which a variable cannot have.
_HYPHENATED: Final = frozenset({"repairs", "translations", "headers"})
_UNFIT = re.compile(r"[^a-z0-9]", re.ASCII)
# Kubernetes gives such variables to every container, for services called straightwire or
# straightwire-…: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_NAME = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII
)
_SERVICE_PORT = re.compile(PREFIX + r"(\w+_)?PORT", re.ASCII)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def variable(path: tuple[str, ...]) -> str:
    """Return the name of the variable for a key."""
    return PREFIX + "__".join(_UNFIT.sub("_", part.lower()).upper() for part in path)


def apply(tree: Tree, environ: Mapping[str, str]) -> None:
    """Lay the variables over what the file says; what is wrong with them is noted in the tree."""
    names = [
        name
        for name, value in environ.items()
        if name.startswith(PREFIX)
        and name not in (FILE, UPSTREAM)
        and value.strip()
        and not _is_of_kubernetes(name, value)
    ]
    # Sections before their keys, so that a key can change what the section says.
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        path = _path(name, tree)
        place = Place(1, 0, name)
        if path is None:
            tree.mistakes.append(Mistake(place, (), "unknown variable" + _nearest(name, tree)))
        else:
            _put(tree, path, environ[name], place)
    if environ.get(UPSTREAM, "").strip():
        put_only_upstream(tree, environ[UPSTREAM], Place(1, 0, UPSTREAM))


def put_only_upstream(tree: Tree, url: str, place: Place) -> None:
    """Give the only upstream its URL; without one there, it is called `default`."""
    names = list(tree.section("upstreams"))
    if len(names) > 1:
        what = f"there are several upstreams ({', '.join(names)}); give each its url"
        tree.mistakes.append(Mistake(place, (), what))
        return
    tree.put(("upstreams", names[0] if names else "default", "url"), Scalar(url.strip()), place)


def put_address(tree: Tree, section: str, text: str, place: Place) -> None:
    """Give a listener its HOST:PORT; the rest of its section stays."""
    try:
        host, port = host_and_port(text)
    except ValueError as error:
        tree.mistakes.append(Mistake(place, (section,), str(error)))
        return
    tree.put((section, "host"), Scalar(host), place)
    tree.put((section, "port"), Scalar(port), place)


def _is_of_kubernetes(name: str, value: str) -> bool:
    if "__" in name:
        return False
    if _SERVICE_PORT.fullmatch(name) and _SERVICE_URL.match(value):
        return True
    return _SERVICE_NAME.fullmatch(name) is not None


def _path(name: str, tree: Tree) -> tuple[str, ...] | None:
    """Return the path of the key that a variable stands for, None if there is none."""
    path: tuple[str, ...] = ()
    below: Shape | None = shape.ROOT
    for part in name.removeprefix(PREFIX).split("__"):
        if below is None or not part:
            return None
        key = part.lower()
        if below.kind is Kind.TABLE:
            key = _name_in_table(key, path, tree)
        path = (*path, key)
        below = below.at(key)
    return None if below is None else path


def _name_in_table(name: str, path: tuple[str, ...], tree: Tree) -> str:
    for known in tree.section(*path):
        if _UNFIT.sub("_", known.lower()) == name:
            return known
    return name.replace("_", "-") if path[-1] in _HYPHENATED else name


def _put(tree: Tree, path: tuple[str, ...], text: str, place: Place) -> None:
    target = shape.at(path)
    assert target is not None  # noqa: S101 - _path found it
    text = text.strip()
    if target.kind is Kind.TEXT:
        tree.put(path, None if text in NULLS else Scalar(text), place)
        return
    if target.section in (Listen, Admin) and not text.startswith("{") and text not in NULLS:
        put_address(tree, path[0], text, place)
        return
    # Only the few who write YAML into a variable wait for the parser to be loaded.
    from proxy.config.document import read_value

    value, mistakes = read_value(text, place)
    tree.mistakes.extend(Mistake(place, (*path, *wrong.key), wrong.what) for wrong in mistakes)
    if not mistakes:
        tree.put(path, value, place)


def _nearest(name: str, tree: Tree) -> str:
    names: dict[tuple[str, ...], list[str]] = {
        (table,): [key for key in tree.section(table) if not is_pattern(key)] or ["name"]
        for table in ("upstreams", "models")
    }
    known = [variable(path) for path in shape.walk(names)]
    # What all have in common would make any two look alike.
    nearest = did_you_mean(
        name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in (*known, FILE, UPSTREAM)]
    )
    return nearest.replace("mean ", "mean " + PREFIX)
