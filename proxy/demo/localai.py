"""LocalAI as it answered at ed5df1e (21 May 2023), of which LocalAI#340 complains, with an echo for a model.

Sources, all in go-skynet/LocalAI (now mudler/LocalAI) of that month:

- api/api.go, `App`: the routes (no /v1/engines/{model}/completions yet), CORS for everybody on everything,
  and the error handler, which answers 500 to whatever is not an error of Fiber's own;
- api/config.go, `readInput`: which model is meant: the path's, or the body's, or the first that is there;
- api/prediction.go, `ComputeChoices`: `n` completions one after the other, which in a stream share one
  choice; an error in a stream is dropped, so that an unknown model streams nothing but the end;
- api/openai.go, the endpoints: see `proxy.demo.answer`. `stream` counts for chat alone.

From gofiber/fiber v2 and valyala/fasthttp: content types without charset, no Server header, 404
as `Cannot POST /path`, 405 and 413, 422 for a body that is not declared as JSON (forms, which LocalAI took,
are refused here as well), and the answer to a preflight request.

Liberties, for the sake of who watches: the model repeats the user's last message, word by word; a stream
stops when its client leaves, which in 2023 it did not; and the model does embeddings, which LocalAI had to
be configured for.
"""

import asyncio
import html
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo import answer
from proxy.demo.question import Question, QuestionError

#: LocalAI's default of `--upload-limit`, in bytes.
_UPLOAD_LIMIT: Final = 15 * 1024 * 1024

# The message has no space here; nor had LocalAI's.
_UNREADABLE: Final = "failed reading parameters from request:"

# Fiber's words: those of Python's http module change from release to release.
_REASONS: Final = {405: "Method Not Allowed", 413: "Request Entity Too Large"}


def application(*, models: Sequence[str] = ("ggml-gpt4all-j",), pace: float = 0.05) -> web.Application:
    """Return an application that answers as LocalAI did.

    Args:
        models: The names of the models that are there; a request without a model gets the first.
        pace: Seconds that the model takes for a token, the first included; 0 is as fast as the client reads.
    """
    localai = _LocalAI(tuple(models), pace)
    app = web.Application(client_max_size=_UPLOAD_LIMIT, middlewares=[_preflight, _errors])
    app.on_response_prepare.append(_common_headers)
    for prefix in ("/v1", ""):
        app.router.add_post(f"{prefix}/chat/completions", localai.chat)
        app.router.add_post(f"{prefix}/completions", localai.completions)
        app.router.add_post(f"{prefix}/edits", localai.edits)
        app.router.add_post(f"{prefix}/embeddings", localai.embeddings)
        app.router.add_get(f"{prefix}/models", localai.models)
    app.router.add_post("/v1/engines/{model}/embeddings", localai.embeddings)
    return app


class _Failure(Exception):
    """An error that leaves as LocalAI's JSON."""

    def __init__(self, message: str, status: int = 500):
        super().__init__(message)
        self.status = status


class _LocalAI:
    """The endpoints, and the model behind them."""

    def __init__(self, models: tuple[str, ...], pace: float):
        self._models = models
        self._pace = pace

    async def chat(self, request: web.Request) -> web.StreamResponse:
        question = await self._read(request)
        if question.stream:
            return await self._stream(request, question)
        return _json(answer.chat(question.model, await self._complete(question, (question.last_message,))))

    async def completions(self, request: web.Request) -> web.Response:
        question = await self._read(request)
        return _json(answer.completion(question.model, await self._complete(question, question.prompts)))

    async def edits(self, request: web.Request) -> web.Response:
        question = await self._read(request)
        return _json(answer.edit(question.model, await self._complete(question, question.inputs)))

    async def embeddings(self, request: web.Request) -> web.Response:
        question = await self._read(request)
        wanted = question.inputs or question.token_inputs
        if wanted and not self._has(request.match_info.get("model", question.model)):
            raise _Failure(answer.could_not_load())
        return _json(answer.embeddings(question.model, question.inputs, question.token_inputs))

    async def models(self, _request: web.Request) -> web.Response:
        return _json(answer.models(self._models))

    async def _read(self, request: web.Request) -> Question:
        """Read a request as every endpoint did first."""
        if not request.content_type.endswith("json"):
            raise _Failure(f"{_UNREADABLE}Unprocessable Entity", 422)
        try:
            question = Question.parse(await request.read())
        except QuestionError as error:
            raise _Failure(f"{_UNREADABLE}{error}") from error
        if not (self._models or question.model or request.match_info):
            raise _Failure(f"{_UNREADABLE}no model specified")
        return question

    def _has(self, model: str) -> bool:
        """Tell whether the model can be loaded; without a name it is the first that there is."""
        return not model or model in self._models

    async def _complete(self, question: Question, texts: Sequence[str]) -> list[str]:
        """Return `n` completions of each text; without a text nothing is loaded either."""
        if texts and not self._has(question.model):
            raise _Failure(answer.could_not_load())
        completions = []
        for text in texts:
            tokens = _echo(text, question)
            await asyncio.sleep(self._pace * len(tokens) * question.n)
            completions += ["".join(tokens)] * question.n
        return completions

    async def _stream(self, request: web.Request, question: Question) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Connection": "keep-alive" if request.keep_alive else "close",
            }
        )
        await response.prepare(request)
        # The error of a model that is not there is lost: the stream was open before it came.
        tokens = _echo(question.last_message, question) if self._has(question.model) else []
        try:
            for _ in range(question.n if tokens else 0):
                for token in tokens:
                    await asyncio.sleep(self._pace)
                    await response.write(answer.frame(question.model, token))
            await response.write(answer.frame(question.model, None))
        except ConnectionResetError:
            pass  # The client has left: there is nobody to tell.
        return response


def _echo(text: str, question: Question) -> list[str]:
    """Return the tokens of the model's answer: the text itself, cut at `max_tokens`."""
    tokens = answer.tokens(text)
    return tokens[: question.max_tokens] if question.max_tokens > 0 else tokens


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


@web.middleware
async def _preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's question whether it may ask; Fiber did so for each path, known or not."""
    if request.method != "OPTIONS":
        return await handler(request)
    headers = {
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        "Access-Control-Allow-Methods": "GET,POST,HEAD,PUT,DELETE,PATCH",
    }
    if wanted := request.headers.get("Access-Control-Request-Headers"):
        headers["Access-Control-Allow-Headers"] = wanted
    return web.Response(status=204, headers=headers)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each error LocalAI's one form."""
    try:
        return await handler(request)
    except _Failure as failure:
        return _json(answer.error(failure.status, str(failure)), failure.status)
    except web.HTTPNotFound:
        path = html.escape(request.rel_url.raw_path)
        return _json(answer.error(404, f"Cannot {request.method} {path}"), 404)
    except web.HTTPMethodNotAllowed as refusal:
        response = _json(answer.error(405, _REASONS[405]), 405)
        response.headers["Allow"] = ", ".join(sorted(refusal.allowed_methods))
        return response
    except web.HTTPRequestEntityTooLarge:
        return _json(answer.error(413, _REASONS[413]), 413)


async def _common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    response.headers.setdefault("Vary", "Origin")
    response.headers["Access-Control-Allow-Origin"] = "*"
