"""The model's name in path, query and form: found wherever the body is cut, and nothing else changes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.model_places import FormModel, boundary_of, model_in_query, rename_in_path, rename_in_query

QUERIES = [
    ("/v1/realtime?model=gpt-4", "gpt-4", "/v1/realtime?model=N"),
    ("/x?a=%20+&model=gpt%2D4&b", "gpt-4", "/x?a=%20+&model=N&b"),
    ("/x?m%6Fdel=a+b", "a b", "/x?m%6Fdel=N"),
    ("/x?model=a&model=b", "a", "/x?model=N&model=N"),
    ("/x?models=a&submodel=b", None, "/x?models=a&submodel=b"),
    ("/x?q=model=a", None, "/x?q=model=a"),
    ("/model=a", None, "/model=a"),
    ("/x?model=", None, "/x?model=N"),
    ("/x?model", None, "/x?model=N"),
    ("/x?", None, "/x?"),
]


@pytest.mark.parametrize(("target", "model", "renamed"), QUERIES)
def test_model_in_a_query(target: str, model: str | None, renamed: str) -> None:
    assert model_in_query(target) == model
    assert rename_in_query(target, "N") == renamed


def test_names_are_written_so_that_they_are_read_again() -> None:
    name = "mistralai/Größe:8b &=+%"
    target = rename_in_query("/x?model=a&b=c", name)
    assert target == "/x?model=mistralai/Gr%C3%B6%C3%9Fe:8b%20%26%3D%2B%25&b=c"
    assert model_in_query(target) == name


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_model_in_a_path(prefix: str) -> None:
    target = f"{prefix}/engines/gpt%2D4/chat/completions?x=/engines/y/"
    assert rename_in_path(target, "a/b c") == f"{prefix}/engines/a%2Fb%20c/chat/completions?x=/engines/y/"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=x-1", b"x-1"),
        ('Multipart/Form-Data; charset=utf-8; Boundary="a b"', b"a b"),
        ("multipart/form-data;boundary=x;y=z", b"x"),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=x", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_boundary(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


def form(*fields: tuple[str, bytes], preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    parts = [b"--x\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n" for head, value in fields]
    return preamble + b"".join(parts) + b"--x--" + epilogue


MODEL = 'Content-Disposition: form-data; name="model"'
FILE = 'Content-Type: audio/wav\r\nContent-Disposition: form-data; name="file"; filename="model"'
SOUND = b'\r\n--y\r\n--x-\r--\r\nname="model"\r\n\r\nno\r\n'

FORMS = {
    "first": form((MODEL, b"whisper-1"), (FILE, SOUND)),
    "last": form((FILE, SOUND), (MODEL, b"whisper-1")),
    "preamble": form((MODEL, b"whisper-1"), preamble=b"hello\r\n"),
    "no-epilogue": form((FILE, b""), (MODEL, b"whisper-1"), epilogue=b""),
    "bare-name": form(("content-disposition:form-data;name=model", b"whisper-1")),
    "second-line": form(("X: y\r\nCONTENT-DISPOSITION: form-data; name=model; z=1", b"whisper-1")),
}
WITHOUT = {
    "none": form((FILE, SOUND)),
    "other-names": form(
        ('Content-Disposition: form-data; name="models"', b"a"), ('X-Name: ; name="model"', b"b")
    ),
    "empty": form((MODEL, b""), (FILE, SOUND)),
    "after-the-end": form((FILE, SOUND), epilogue=b"\r\n" + form((MODEL, b"late"))),
    "no-form": b'{"model":"a"}',
    "nothing": b"",
}


def scan(data: bytes, cuts: list[int]) -> FormModel:
    scanned = FormModel(b"x")
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        scanned.receive(data[start:end])
    assert bytes(scanned.held) == data
    return scanned


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
@given(cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_model_in_a_form(data: bytes, cuts: list[int]) -> None:
    scanned = scan(data, cuts)
    assert (scanned.model, scanned.done) == ("whisper-1", True)
    assert scanned.renamed("größe") == data.replace(b"whisper-1", "größe".encode())


@pytest.mark.parametrize("data", WITHOUT.values(), ids=WITHOUT)
@given(cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_form_without_a_model(data: bytes, cuts: list[int]) -> None:
    assert scan(data, cuts).model is None


def test_nothing_more_is_looked_for_once_the_model_has_come() -> None:
    begun = FORMS["first"].partition(FILE.encode())[0]
    assert scan(begun, []).done


@given(st.binary())
def test_any_bytes_are_held_as_they_came(data: bytes) -> None:
    scan(b"--x\r\n" + data, [3, 9])
