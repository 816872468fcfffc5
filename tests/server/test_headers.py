"""Which header fields travel, whatever they are."""

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.server.clients.headers import end_to_end, without_body

#: RFC 9110, section 7.6.1, and what came before it.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
NAMES = st.sampled_from(
    [
        *(
            "Connection",
            "connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "trailer",
            "Transfer-Encoding",
            "Upgrade",
        ),
        *("X-One", "x-one", "X-Two", "Authorization", "Content-Type", "Content-Length", "ETag", "Set-Cookie"),
    ]
)
VALUES = st.sampled_from(
    ["", "close", "x-one", "X-Two , close", "keep-alive, ,Authorization", "ü", "\udcff", "a, b"]
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(CIMultiDict)


def dropped(headers):
    """Return the names of fields that are for one connection alone."""
    named = ",".join(headers.getall("Connection", [])).split(",")
    return HOP_BY_HOP | {name.strip().lower() for name in named}


@given(HEADERS)
def test_what_is_for_one_connection_stays_there_and_all_else_goes_on(headers):
    gone = dropped(headers)
    left = end_to_end(headers)

    assert [name.lower() for name in left] == [name.lower() for name in headers if name.lower() not in gone]
    for name in left:
        sent = [value.encode("utf-8", "surrogateescape") for value in headers.getall(name)]
        if all(value.isascii() for value in sent):
            assert [value.encode() for value in left.getall(name)] == sent
    assert "\udcff" not in "".join(left.values())  # nobody could write it


@given(HEADERS)
def test_what_went_on_once_goes_on_again(headers):
    left = end_to_end(headers)
    assert list(end_to_end(left).items()) == list(left.items())


@given(HEADERS)
def test_nothing_is_said_of_a_body_that_is_another(headers):
    left = without_body(headers)
    assert not {"content-type", "content-length", "etag"} & {name.lower() for name in left}
    assert set(left.items()) <= set(end_to_end(headers).items())
