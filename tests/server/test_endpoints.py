"""Which paths are understood, and in which spellings."""

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.server.clients.endpoints import endpoint_of
from proxy.wire.requests import Endpoint

UNDERSTOOD = {
    ("POST", "/v1/chat/completions"): (Endpoint.CHAT, None),
    ("POST", "/chat/completions"): (Endpoint.CHAT, None),
    ("POST", "/v1/chat/completions?key=x"): (Endpoint.CHAT, None),
    ("POST", "/v1/ch%61t/completions"): (Endpoint.CHAT, None),
    ("POST", "http://other.example/v1/chat/completions"): (Endpoint.CHAT, None),
    ("POST", "/v1/completions"): (Endpoint.COMPLETIONS, None),
    ("POST", "/v1/engines/m/completions"): (Endpoint.COMPLETIONS, "m"),
    ("POST", "/engines/org%2Fm/chat/completions"): (Endpoint.CHAT, "org/m"),
    ("POST", "/v1/engines/50%25/embeddings"): (Endpoint.EMBEDDINGS, "50%"),
    ("POST", "/v1/engines/m%252F/embeddings"): (Endpoint.EMBEDDINGS, "m%2F"),
    ("POST", "/edits"): (Endpoint.EDITS, None),
    ("GET", "/v1/models"): (Endpoint.MODELS, None),
    ("GET", "/models?x"): (Endpoint.MODELS, None),
    ("GET", "/v1/models/org/m"): (Endpoint.MODELS, "org/m"),
    ("GET", "/v1/models/org%2Fm"): (Endpoint.MODELS, "org/m"),
}
NOT_OURS = [
    ("GET", "/v1/chat/completions"),
    ("HEAD", "/v1/models"),
    ("POST", "/v1/models"),
    ("GET", "/models/m"),
    ("GET", "/v1/models/"),
    ("POST", "/v1/chat/completions/"),
    ("POST", "/v1/chat%2Fcompletions"),
    ("POST", "/v1//chat/completions"),
    ("POST", "/v1/engines//completions"),
    ("POST", "/v1/engines/org/m/completions"),
    ("POST", "/v1/engines/m/edits"),
    ("POST", "/V1/chat/completions"),
    ("OPTIONS", "*"),
]


@pytest.mark.parametrize(("asked", "found"), UNDERSTOOD.items())
def test_path_that_is_understood(asked, found):
    assert endpoint_of(make_mocked_request(*asked)) == found


@pytest.mark.parametrize("asked", NOT_OURS)
def test_path_that_is_not(asked):
    assert endpoint_of(make_mocked_request(*asked)) == (None, None)
