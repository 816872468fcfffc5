"""`straightwire demo`: LocalAI of May 2023 as it is, and as it comes through."""

import asyncio
import http.client
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import click
import orjson
from aiohttp import web

from proxy.cli.columns import column_width, side_by_side
from proxy.config.load import load
from proxy.config.schema import Configuration, Log
from proxy.demo.localai import application
from proxy.server.app import Proxy
from proxy.server.listening import bind, url_of
from proxy.server.processes.process import run
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, read_request
from proxy.wire.rewriter import StreamRewriter

MODEL: Final = "ggml-gpt4all-j"
#: Seconds between two words, so that a reader sees them come.
PACE: Final = 0.1
#: Where LocalAI listens unless it is told otherwise.
LOCALAI: Final = "127.0.0.1:8080"
QUESTION: Final = "one two three"
PATH: Final = "/v1/chat/completions"
#: Where a frame of LocalAI's ends: with the blank lines before the next `event:`.
NEXT_FRAME: Final = b"\nevent: data"
WELCOME: Final = """\
LocalAI of May 2023 (embedded; it echoes your question) answers through straightwire. Try:

  curl -N {url}{path} -H 'Content-Type: application/json' \\
    -d '{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"one two three"}}]}}'

or point an OpenAI client at it:  OPENAI_BASE_URL={url}/v1  OPENAI_API_KEY=none
Ctrl-C ends it."""
ALONE: Final = """\
LocalAI of May 2023 (embedded; it echoes your question), just as it was:  {url}
Put straightwire before it:  straightwire serve --upstream {url}
Ctrl-C ends it."""


@dataclass(frozen=True)
class Answers:
    """The same question's answer, at both ends of the proxy."""

    raw: bytes
    straight: bytes


class Upstream:
    """The embedded LocalAI, on a free port of this machine, for as long as its context lasts.

    Args:
        pace: seconds between two words of an answer.
    """

    def __init__(self, pace: float) -> None:
        self._runner = web.AppRunner(application(models=(MODEL,), pace=pace), handler_cancellation=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@click.command(short_help="Show one answer on both sides of the proxy.")
@click.option("--serve", is_flag=True, help="Keep the proxy running before the embedded LocalAI.")
@click.option(
    "--localai", "alone", is_flag=True, help="Keep the embedded LocalAI running, without the proxy."
)
@click.option("--listen", metavar="HOST:PORT", help="With --serve or --localai: where clients connect.")
@click.argument("question", default=QUESTION)
def command(serve: bool, alone: bool, listen: str | None, question: str) -> None:
    """Show one answer as it leaves LocalAI of May 2023, and as it reaches the client.

    The model is an echo of QUESTION; the wire form is the real one.
    """
    if serve and alone:
        raise click.UsageError("--serve puts the proxy before LocalAI, --localai leaves it out; choose one.")
    if listen is not None and not (serve or alone):
        raise click.UsageError("--listen needs --serve or --localai: what shall listen?")
    if alone:
        _run_alone(listen or LOCALAI)
        return
    if serve:
        upstream = Upstream(pace=PACE)
        configuration = _configuration(upstream.url, listen)
        sys.exit(run(lambda: configuration, beside=upstream, announce=lambda url: click.echo(_welcome(url))))
    answers = asyncio.run(_ask_both(question))
    for line in _shown(answers, question):
        click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def _run_alone(listen: str) -> None:
    """Run the embedded LocalAI until SIGTERM or SIGINT, for a proxy that runs elsewhere."""
    where = _configuration("http://not.asked", listen).listen
    listeners = bind(where.host, where.port)
    click.echo(ALONE.format(url=url_of(listeners[0].getsockname())))
    web.run_app(
        application(models=(MODEL,), pace=PACE),
        sock=listeners,
        handler_cancellation=True,
        shutdown_timeout=1,
        access_log=None,
        print=None,
    )


def _welcome(url: str) -> str:
    return WELCOME.format(url=url, path=PATH, model=MODEL)


def _configuration(upstream: str, listen: str | None, **changes: object) -> Configuration:
    """Return the defaults, but for the admin listener: a demo takes no port that it does not show."""
    configuration = load(None, environ={}, overrides={"upstream": upstream, "listen": listen})
    return configuration.model_copy(update={"admin": None, **changes})


async def _ask_both(question: str) -> Answers:
    async with Upstream(pace=0) as upstream:
        proxy = Proxy(_configuration(upstream.url, "127.0.0.1:0", log=Log(level="error")))
        await proxy.start()
        try:
            raw = await asyncio.to_thread(_answer, upstream.url, question)
            return Answers(raw, await asyncio.to_thread(_answer, proxy.url, question))
        finally:
            await proxy.stop()


def _body(question: str) -> bytes:
    messages = [{"role": "user", "content": question}]
    return orjson.dumps({"model": MODEL, "messages": messages, "stream": True})


def _answer(url: str, question: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("POST", PATH, _body(question), {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


def _shown(answers: Answers, question: str) -> Iterator[str]:
    width = column_width(shutil.get_terminal_size((160, 24)).columns)
    rows, report = _paired(answers, question)
    heads = f"{'LocalAI, 21 May 2023':{width}}   through straightwire"
    yield click.style(heads, bold=True)
    yield from side_by_side(rows, width)
    yield ""
    yield click.style("Repairs", bold=True)
    for name, times in sorted(report.repairs.items(), key=lambda item: (-item[1], item[0])):
        yield f"{times:5} x {name:22} {CATALOGUE[name].summary}"


def _paired(answers: Answers, question: str) -> tuple[list[tuple[str, str]], StreamReport]:
    """Put beside each frame of LocalAI's what left for it."""
    rewriter = StreamRewriter(
        read_request(Endpoint.CHAT, _body(question)), Origin("0" * 24, 1), compile_plan()
    )
    frames = iter(answers.straight.split(b"\n\n"))
    pieces = list(_frames(answers.raw))
    counts = [len(rewriter.receive_data(piece)) for piece in pieces]
    counts[-1] += len(rewriter.receive_eof())
    rows = [
        (piece.decode().strip("\n") + "\n", "\n\n".join(next(frames).decode() for _ in range(count)) + "\n")
        for piece, count in zip(pieces, counts, strict=True)
    ]
    return rows, rewriter.report


def _frames(raw: bytes) -> Iterator[bytes]:
    """Cut LocalAI's stream where its frames begin."""
    first, *others = raw.split(NEXT_FRAME)
    yield first
    for other in others:
        yield NEXT_FRAME + other
