"""The documents say what the code does."""

import re
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import COMMANDS, straightwire
from proxy.errors import Stopped, UpstreamError
from proxy.server.operator.record import CLIENT_GONE, COMPLETE, INTERNAL_ERROR
from proxy.wire.chunk import Origin
from proxy.wire.document import CLIENTS, markdown, symptoms
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE, ORDER, choices, entry
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from scripts.docs import readme
from tests.measured import samples

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_page_of_repairs_is_the_catalogue():
    assert (ROOT / "docs" / "repairs.md").read_text("utf-8") == markdown(ORDER)


def test_every_client_that_the_entries_tell_of_is_listed_with_its_symptoms():
    told = symptoms(ORDER)
    assert {client for client, _, _ in told} == set(CLIENTS)
    assert ("org-ai", "`[DONE]` with a CR is not `[DONE]`", "carriage-return") in told
    assert ("AI SDK", "trips over it", "missing-blank-line") in told
    assert ("LangChain", "reasoning-to-reasoning-content") not in {(client, name) for client, _, name in told}


def test_the_readmes_table_is_the_catalogue():
    assert readme() == README
    assert [name for name in CATALOGUE if f"`{name}`" not in README] == []


def test_the_readmes_frame_is_what_leaves_for_what_came():
    """The before and after at the top is no invention."""
    came, left = re.findall(r"```\n(.*?)```", README, re.DOTALL)[:2]
    origin = Origin("52c8d85c69386a0ec4ca854a5c568a70", 1684665888)
    rewriter = StreamRewriter(Request(Endpoint.CHAT, "ggml-gpt4all-j", stream=True), origin, compile_plan())
    first = came.replace('" 2"', '"1"')
    rewriter.receive_data(first.encode())
    assert rewriter.receive_data(came.encode()) == [left.encode()]


def test_the_readmes_error_is_what_a_cut_stream_ends_with():
    (shown,) = re.findall(r"^data: \{\"error\".*$", README, re.MULTILINE)
    rewriter = StreamRewriter(Request(Endpoint.CHAT, stream=True), Origin("0" * 24, 1), compile_plan())
    rewriter.receive_data(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
    assert rewriter.receive_eof() == [shown.encode() + b"\n\n"]


def test_every_command_in_the_documents_exists():
    for words in re.findall(r"straightwire ((?:config )?[a-z]+)\b", README + CONTRIBUTING):
        if words.split()[0] in COMMANDS:
            assert CliRunner().invoke(straightwire, [*words.split(), "--help"]).exit_code == 0, words


def test_every_make_target_in_the_documents_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", README + CONTRIBUTING)) <= set(targets)


def test_every_file_that_the_documents_link_exists():
    for link in re.findall(r"\]\(([^)#]+)\)", README + CONTRIBUTING):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_repair_of_the_contributors_guide_works():
    """Its code, taken as it stands, repairs what it says it does."""
    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    names = vars(choices) | vars(entry)
    exec(re.sub(r"^   ", "", code, flags=re.MULTILINE), names)  # noqa: S102 - the text is ours
    plan = compile_plan(repairs=(*ORDER, names["empty_name"]))
    rewriter = StreamRewriter(Request(Endpoint.CHAT, "gpt-4", stream=True), Origin("0" * 24, 1), plan)
    chunk = (
        b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","name":""},"finish_reason":null}]}'
    )
    (frame,) = rewriter.receive_data(b"data: " + chunk + b"\n\n")
    assert frame == b"data: " + chunk.replace(b',"name":""', b"") + b"\n\n"
    assert rewriter.report.repairs == {"empty-name": 1}


def test_the_page_of_metrics_is_what_is_measured():
    page = (ROOT / "docs" / "operation.md").read_text("utf-8")
    told = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(straightwire_\w+)` \| ([^|]*) \|", page, re.MULTILINE)
    }
    measured = {
        re.sub(r"_(bucket|sum|count)$", "", name): labels - {"le"} for name, labels in samples().items()
    }
    assert measured == told


def test_the_page_of_outcomes_has_every_failure():
    page = (ROOT / "docs" / "operation.md").read_text("utf-8")
    failures = {error.outcome for error in (UpstreamError, *UpstreamError.__subclasses__())}
    outcomes = failures | {CLIENT_GONE, COMPLETE, INTERNAL_ERROR, Stopped.outcome}
    assert [outcome for outcome in sorted(outcomes) if f"`{outcome}`" not in page] == []
