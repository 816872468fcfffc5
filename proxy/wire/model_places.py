"""Where requests name their model, other than in JSON: in the path, in the query, in a field of a form.

Only the bytes of the name change where the upstream knows the model by another one.
"""

import re
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote_plus

_PARAMETER: Final = "model"
#: What may stand in a query as it is (RFC 3986, section 3.4); names of models have slashes and colons.
_PLAIN: Final = "/:@"
_PLAIN_IN_PATH: Final = ":@"
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_IS_THE_MODEL: Final = re.compile(
    rb'^content-disposition:.*;[ \t]*name="?model"?[ \t]*(?:;|\r?$)', re.I | re.M
)
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.I)


def model_in_query(target: str) -> str | None:
    """Return the model that a request's target names in its query; the first, where it names several."""
    for parameter in target.partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if unquote_plus(name) == _PARAMETER:
            return unquote_plus(value) or None
    return None


def rename_in_query(target: str, model: str) -> str:
    """Return a request's target with `model` as the value of every `model` in its query."""
    path, mark, query = target.partition("?")
    return path + mark + "&".join(_renamed(parameter, model) for parameter in query.split("&"))


def _renamed(parameter: str, model: str) -> str:
    name = parameter.partition("=")[0]
    return f"{name}={quote(model, safe=_PLAIN)}" if unquote_plus(name) == _PARAMETER else parameter


def rename_in_path(target: str, model: str) -> str:
    """Return the target of `/v1/engines/{model}/…` with another model in it."""
    before, _, rest = target.partition("/engines/")
    return f"{before}/engines/{quote(model, safe=_PLAIN_IN_PATH)}/{rest.partition('/')[2]}"


def boundary_of(content_type: str) -> bytes | None:
    """Return what parts the fields of a form (RFC 7578); None: it is no form, or has no boundary."""
    if not content_type.lower().startswith("multipart/form-data"):
        return None
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]).encode("latin-1") if found else None


class _At(Enum):
    PREAMBLE = "before the first field"
    HEAD = "in a field's head"
    OTHER = "in another field"
    MODEL = "in the field that names the model"
    END = "found, or past the last field"


class FormModel:
    """Looks for the model in a form as it comes, and holds what has come until then.

    Args:
        boundary: as `boundary_of` returns it.

    Attributes:
        held: all that has come.
        done: there is nothing more to look for.
        model: the name, once it was found.
    """

    def __init__(self, boundary: bytes):
        self.held = bytearray()
        self.model: str | None = None
        self._delimiter = b"\r\n--" + boundary
        self._at = _At.PREAMBLE
        self._from = 0  # where the part at hand begins
        self._seen = 0  # up to here there is no end of it
        self._place = (0, 0)

    @property
    def done(self) -> bool:
        """There is nothing more to look for."""
        return self._at is _At.END

    def receive(self, data: bytes) -> None:
        """Take what has come, cut anywhere. The time is linear in all that comes."""
        self.held += data
        while not self.done and self._step():
            pass

    def renamed(self, model: str) -> bytes:
        """Return what is held, with another name in the place of the one that was found."""
        start, end = self._place
        return bytes(self.held[:start]) + model.encode() + bytes(self.held[end:])

    def _step(self) -> bool:
        """Go over one part, if its end is there."""
        if self._at is _At.PREAMBLE and self.held.startswith(self._delimiter[2:]):
            self._go_on(_At.HEAD, len(self._delimiter) - 2)
            return True
        ending = _HEAD_END if self._at is _At.HEAD else self._delimiter
        end = self.held.find(ending, self._seen)
        if end < 0:
            self._seen = max(self._from, len(self.held) - len(ending) + 1)
            return self._is_last()
        self._pass(end, end + len(ending))
        return True

    def _is_last(self) -> bool:
        """A delimiter with two hyphens ends the form (RFC 2046, section 5.1.1)."""
        if self._at is _At.HEAD and self.held[self._from : self._from + 2] == b"--":
            self._at = _At.END
        return False

    def _pass(self, end: int, after: int) -> None:
        match self._at:
            case _At.HEAD if self.held[self._from : self._from + 2] == b"--":
                self._at = _At.END
            case _At.HEAD:
                is_model = _IS_THE_MODEL.search(self.held[self._from : end] + _LINE_END)
                self._go_on(_At.MODEL if is_model else _At.OTHER, after)
                # An empty field ends with the line end that ends its head.
                self._seen = end + len(_LINE_END)
            case _At.MODEL:
                self._place = (self._from, max(self._from, end))
                self.model = bytes(self.held[self._from : end]).decode("utf-8", "replace") or None
                self._at = _At.END
            case _:
                self._go_on(_At.HEAD, after)

    def _go_on(self, part: _At, start: int) -> None:
        self._at, self._from, self._seen = part, start, start
