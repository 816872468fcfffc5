"""What is understood, and under which paths."""

import re
from typing import Final

from aiohttp import web

from proxy.wire.requests import Endpoint

#: LocalAI and old clients know them without /v1, too.
_PATHS: Final = {
    Endpoint.CHAT: "/chat/completions",
    Endpoint.COMPLETIONS: "/completions",
    Endpoint.EMBEDDINGS: "/embeddings",
    Endpoint.EDITS: "/edits",
    Endpoint.MODELS: "/models",
}
_BY_PATH: Final = {
    (("GET" if endpoint is Endpoint.MODELS else "POST"), prefix + path): endpoint
    for endpoint, path in _PATHS.items()
    for prefix in ("/v1", "")
}
_ENGINES: Final = re.compile(r"(?:/v1)?/engines/([^{}/]+)(/chat/completions|/completions|/embeddings)")
#: A model's name may have slashes in it.
_MODEL: Final = re.compile(r"/v1/models/(.+)")
_ENDPOINTS: Final = {path: endpoint for endpoint, path in _PATHS.items()}


def endpoint_of(request: web.BaseRequest) -> tuple[Endpoint | None, str | None]:
    """Return which endpoint a request asks for, None where it is none of ours, and the model in its path."""
    method = request.method
    if found := _BY_PATH.get((method, request.raw_path)):
        return found, None
    path = request.rel_url.path_safe  # decoded, but for what would change its parts
    if found := _BY_PATH.get((method, path)):
        return found, None
    if method == "POST" and (engine := _ENGINES.fullmatch(path)):
        return _ENDPOINTS[engine[2]], _name(engine[1])
    if method == "GET" and (model := _MODEL.fullmatch(path)):
        return Endpoint.MODELS, _name(model[1])
    return None, None


def _name(part: str) -> str:
    """Return a part of a path as it was meant."""
    return part.replace("%2F", "/").replace("%25", "%")
