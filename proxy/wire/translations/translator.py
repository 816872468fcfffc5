"""Dialect, switches and parameters, compiled: what is done to the requests of one upstream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from proxy.errors import InvalidRequest
from proxy.wire import codec
from proxy.wire.model_name import rename_model
from proxy.wire.translations.catalogue import CATALOGUE, DIALECTS, ORDER
from proxy.wire.translations.entry import Body

#: Under what name changes of the operator's own are counted: the configuration's.
DROP: Final = "parameters.drop"
DEFAULT: Final = "parameters.default"
SET: Final = "parameters.set"

Step = tuple[str, Callable[[Body], int]]


class Parameters(Protocol):
    """The operator's own changes, as the configuration has them."""

    @property
    def default(self) -> Mapping[str, Any]:
        """What is set where the client gave nothing."""

    @property
    def set(self) -> Mapping[str, Any]:
        """What is set whatever the client gave."""

    @property
    def drop(self) -> tuple[str, ...]:
        """What is removed."""


@dataclass(frozen=True, slots=True)
class Translator:
    """What is done to the requests of one upstream. Immutable, shared by all of them.

    Attributes:
        names: the translations that are on.
    """

    names: frozenset[str]
    _steps: tuple[Step, ...]

    def apply(self, body: bytes, model: str | None) -> tuple[bytes, dict[str, int]]:
        """Return the request as this upstream understands it, and how often each translation acted.

        Where none acts, all bytes stay but those of the model's name.

        Args:
            body: the request's body.
            model: the upstream's name for the model; None: the client's own.

        Raises:
            InvalidRequest: it is not a JSON object, or asks for what cannot be translated.
        """
        counts: dict[str, int] = {}
        request = _parsed(body) if self._steps else {}
        for name, step in self._steps:
            acted = step(request)
            if acted:
                counts[name] = counts.get(name, 0) + acted
        if not counts:
            return (body if model is None else rename_model(body, model)), counts
        if model is not None:
            request["model"] = model
        try:
            return codec.dumps(request), counts
        except codec.NotJSON as error:
            raise InvalidRequest(f"The request body cannot be translated: {error}.") from None


def compile_translations(
    dialect: str = "openai",
    switches: Mapping[str, bool] = MappingProxyType({}),
    parameters: Parameters | None = None,
) -> Translator:
    """Compile the translations of one upstream.

    Args:
        dialect: the preset that says which are on.
        switches: translations by name, on or off, over those of the dialect.
        parameters: changes of the operator's own. `drop` means the client's words and the
            translated ones; `default` and `set` are in the upstream's words and come last.

    Raises:
        KeyError: there is no such dialect, or a switch names no translation.
    """
    for unknown in set(switches) - set(CATALOGUE):
        raise KeyError(unknown)
    chosen = DIALECTS[dialect].translations
    names = frozenset(entry.name for entry in ORDER if switches.get(entry.name, entry.name in chosen))
    steps: list[Step] = [(entry.name, entry.apply) for entry in ORDER if entry.name in names]
    if parameters is not None and parameters.drop:
        steps = [(DROP, _dropping(parameters.drop)), *steps, (DROP, _dropping(parameters.drop))]
    if parameters is not None and parameters.default:
        steps.append((DEFAULT, _defaulting(parameters.default)))
    if parameters is not None and parameters.set:
        steps.append((SET, _setting(parameters.set)))
    return Translator(names, tuple(steps))


def _parsed(body: bytes) -> Body:
    try:
        request = codec.strict_loads(body)
    except ValueError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return request


def _dropping(names: tuple[str, ...]) -> Callable[[Body], int]:
    def drop(request: Body) -> int:
        given = [name for name in names if name in request]
        for name in given:
            del request[name]
        return len(given)

    return drop


def _defaulting(values: Mapping[str, Any]) -> Callable[[Body], int]:
    def default(request: Body) -> int:
        missing = {name: value for name, value in values.items() if request.get(name) is None}
        request.update(missing)
        return len(missing)

    return default


def _setting(values: Mapping[str, Any]) -> Callable[[Body], int]:
    def put(request: Body) -> int:
        other = {
            name: value for name, value in values.items() if name not in request or request[name] != value
        }
        request.update(other)
        return len(other)

    return put
