"""Routes: which upstream serves a model, and under which name."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from proxy.config.patterns import compile_pattern, is_pattern
from proxy.config.schema import CATCH_ALL, Model
from proxy.errors import InvalidRequest, UnknownModel

# The client's text goes into an error message, and is compared with every name.
_LONGEST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes.

    Attributes:
        upstream: the upstream's name.
        model: the model's name there; None: the client's own, if it gave one.
    """

    upstream: str
    model: str | None


class Routes:
    """The `models` of the configuration, made ready once for all requests."""

    def __init__(self, models: Mapping[str, Model]):
        """Take exact names and patterns, in the order in which they were written."""
        self._models = models
        routes = {name: Route(model.upstream, model.model) for name, model in models.items()}
        self._exact = {name: route for name, route in routes.items() if not is_pattern(name)}
        self._patterns: list[tuple[re.Pattern[str], Route]] = [
            (compile_pattern(name), route) for name, route in routes.items() if is_pattern(name)
        ]
        self._without_model = routes.get(CATCH_ALL)
        #: The exact names, which `/v1/models` lists, and where each goes.
        self.aliases: Mapping[str, Route] = MappingProxyType(self._exact)

    @property
    def by_model(self) -> bool:
        """A request's model decides something: where it goes, its name there, or that it is refused."""
        return [(name, target.model) for name, target in self._models.items()] != [(CATCH_ALL, None)]

    def resolve(self, model: str | None) -> Route:
        """Return the route of a model: an exact name's, else the first pattern's that matches.

        Args:
            model: as the client wrote it; None or empty, where it wrote none.

        Raises:
            UnknownModel: nothing matches. The message names the nearest exact names.
            InvalidRequest: there is no model, and no `*` that takes such requests.
        """
        if not model:
            if self._without_model is None:
                raise InvalidRequest(
                    "The request names no model, and none is served here without.", param="model"
                )
            return self._without_model
        if (route := self._exact.get(model)) is not None:
            return route
        for pattern, route in self._patterns:
            if pattern.fullmatch(model):
                return route
        raise UnknownModel(self._unknown(model))

    def _unknown(self, model: str) -> str:
        shown = model if len(model) <= _LONGEST_SHOWN else model[:_LONGEST_SHOWN] + "…"
        nearest = difflib.get_close_matches(model[:_LONGEST_SHOWN], self._exact, n=3)
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        return f"The model '{shown}' is not served here.{hint}"
