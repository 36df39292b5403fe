"""The FastAPI application: the JSON interface and the page."""

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import anyio
import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import Annotated

from bilm import __version__
from lac.serving.answers import Answers, Layer, TooManyNumbers, WordNotFound
from lac.serving.limits import LimitedRequests, Limits

PAGE = Path(__file__).parent / "page"
_DECIMALS = 6
Json = Dict[str, Any]
# scripts and styles of this server only; Swagger's page has a script of its own in it
_POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
_INLINE = "'self' 'unsafe-inline'"
_DOCUMENTATION_POLICY = f"{_POLICY}; script-src {_INLINE}; style-src {_INLINE}"


class Failure(BaseModel):
    """An error.

    Attributes:
        code: For programs.
        error: For people, one line.
        limit: The limit that was exceeded, if any.
        found: The value that exceeded it; for `word_not_found` the sentence's number, from 0.
    """

    code: str
    error: str
    limit: Optional[int] = None
    found: Optional[int] = None


class TaggedWord(BaseModel):
    """A word of a text.

    Attributes:
        text: Its characters.
        tag: Its type.
        start: Its first character's place in the text, from 0; characters are code points.
        end: The place after its last character.
        known: Whether the model knows each piece of it.
        confidence: The model's probability of a word with these borders and this type, if asked
            for; null for white space, and where a user dictionary decided.
    """

    text: str
    tag: str
    start: int
    end: int
    known: bool
    confidence: Optional[float] = None


class Tagged(BaseModel):
    """What /tag answers.

    Attributes:
        results: The words of each text; joined, they are the text.
    """

    results: List[List[TaggedWord]]


class Embedded(BaseModel):
    """A text's vectors.

    Attributes:
        words: Those that ELMo reads: words of a segmenter, characters or other pieces.
        known: Whether the biLM knows each.
        vectors: One a word.
    """

    words: List[str]
    known: List[bool]
    vectors: List[List[float]]


class Embeddings(BaseModel):
    """What /embed answers.

    Attributes:
        results: The vectors of each text.
    """

    results: List[Embedded]


class Similarities(BaseModel):
    """What /similar answers: a word in several sentences.

    Attributes:
        word: The word.
        known: Whether the biLM knows it.
        sentences: Their words, or the pieces that ELMo reads, the compared word whole.
        positions: Where the word stands in each, from 0.
        contextual: Cosines of its contextual vectors, a row a sentence.
        static: The same of its vectors without context.
        points: The contextual vectors on the plane in which they vary most.
        explained: Shares of the variance that the two axes hold.
    """

    word: str
    known: bool
    sentences: List[List[str]]
    positions: List[int]
    contextual: List[List[float]]
    static: List[List[float]]
    points: List[List[float]]
    explained: List[float]


class _Request(BaseModel):
    """A body whose fields have exactly these types, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


def create_app(answers: Answers, limits: Optional[Limits] = None) -> "SafeHeaders":
    """Return the ASGI application.

    Args:
        answers: The tagger's answers; one request is computed at a time.
        limits: Limits of a request.
    """
    limits = limits or Limits()
    app = FastAPIOffline(
        title="paddle-elmo", version=__version__, docs_url="/docs", redoc_url=None,
        description="Chinese words, parts of speech, entities and ELMo's vectors.",
        responses={
            status: {"model": Failure, "description": description}
            for status, description in (
                (400, "the body is no JSON"), (408, "too slow"), (413, "the body is too large"),
                (415, "the body is not said to be JSON"),
                (422, "the request is not what is expected"), (503, "too busy"),
            )
        },
    )
    _add_errors(app, limits)
    _add_routes(app, answers, limits)
    _add_page(app)
    app.add_middleware(LimitedRequests, limits=limits)
    return SafeHeaders(app)


class _Turns:
    """Computes one answer at a time: more at once would only share the same processors."""

    def __init__(self, seconds: float):
        self._seconds, self._limiter = seconds, anyio.CapacityLimiter(1)

    async def answer(self, function: Callable[..., Json], *arguments: Any) -> Response:
        """Return the JSON from a function, which is called in a thread when it is its turn."""
        try:
            with anyio.fail_after(self._seconds):
                content = await run_sync(
                    lambda: json.dumps(function(*arguments), ensure_ascii=False).encode(),
                    limiter=self._limiter,
                )
        except TimeoutError:
            raise HTTPException(503, "the server is busy; try again later") from None
        return Response(content, media_type="application/json")


def _add_routes(app: FastAPIOffline, answers: Answers, limits: Limits) -> None:
    @app.get("/health")
    async def health() -> dict:
        """Tell that the server answers."""
        return {"status": "ok"}

    @app.get("/model")
    async def model() -> dict:
        """Tell the model's types of words, how much each layer of ELMo counts, and the limits."""
        return {**answers.describe(), "limits": asdict(limits)}

    turns = _Turns(limits.answer_seconds)
    _add_tag(app, answers, limits, turns)
    if answers.has_elmo:
        _add_embed(app, answers, limits, turns)
        _add_similar(app, answers, limits, turns)


def _add_tag(app: FastAPIOffline, answers: Answers, limits: Limits, turns: _Turns) -> None:
    class TagRequest(_Request):
        """Raw texts, and whether the words' confidences are wanted."""

        texts: Annotated[
            List[Annotated[str, StringConstraints(max_length=limits.max_characters)]],
            Field(min_length=1, max_length=limits.max_texts, examples=[["我爱北京天安门。"]]),
        ]
        confidence: bool = False

    @app.post("/tag", response_model=Tagged)
    async def tag(request: TagRequest) -> Response:
        """Cut texts into words and tag them."""
        return await turns.answer(_tagged, answers, request.texts, request.confidence)


def _add_embed(app: FastAPIOffline, answers: Answers, limits: Limits, turns: _Turns) -> None:
    class EmbedRequest(_Request):
        """Raw sentences, and which of ELMo's layers is wanted."""

        texts: Annotated[
            List[Annotated[str, StringConstraints(max_length=limits.max_sentence_characters)]],
            Field(min_length=1, max_length=limits.max_texts, examples=[["明天会下雨。"]]),
        ]
        layer: Layer = "mix"

    @app.post("/embed", response_model=Embeddings)
    async def embed(request: EmbedRequest) -> Response:
        """Give each word or piece that ELMo reads its vector."""
        most = limits.max_numbers
        return await turns.answer(_embedded, answers, request.texts, request.layer, most)


def _add_similar(app: FastAPIOffline, answers: Answers, limits: Limits, turns: _Turns) -> None:
    class SimilarRequest(_Request):
        """A word, and sentences that contain it."""

        word: Annotated[str, StringConstraints(min_length=1, max_length=20)] = Field(
            examples=["苹果"]
        )
        texts: Annotated[
            List[Annotated[str, StringConstraints(max_length=limits.max_sentence_characters)]],
            Field(
                min_length=2, max_length=limits.max_texts,
                examples=[["我买了一斤苹果", "我新买了一个苹果手机"]],
            ),
        ]
        layer: Layer = "first"

    @app.post("/similar", response_model=Similarities)
    async def similar(request: SimilarRequest) -> Response:
        """Compare a word's vectors in several sentences."""
        return await turns.answer(
            _compared, answers, request.word, request.texts, request.layer
        )


def _tagged(answers: Answers, texts: List[str], confidence: bool) -> Json:
    results = [[word._asdict() for word in words] for words in answers.tag(texts, confidence)]
    for word in chain.from_iterable(results):
        sure = word.pop("confidence")
        if confidence:
            word["confidence"] = None if sure is None else round(sure, _DECIMALS)
    return {"results": results}


def _embedded(answers: Answers, texts: List[str], layer: Layer, max_numbers: int) -> Json:
    return {
        "results": [
            {"words": words, "known": known, "vectors": _rounded(vectors)}
            for words, known, vectors in answers.embed(texts, layer, max_numbers)
        ]
    }


def _compared(answers: Answers, word: str, texts: List[str], layer: Layer) -> Json:
    meanings = answers.compare(word, texts, layer)
    names = ("contextual", "static", "points")
    arrays = {name: _rounded(getattr(meanings, name)) for name in names}
    return {"word": word, **meanings._asdict(), **arrays}


def _rounded(array: np.ndarray) -> list:
    return array.astype(float).round(_DECIMALS).tolist()


def _add_page(app: FastAPIOffline) -> None:
    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))


class SafeHeaders:
    """ASGI middleware that tells browsers to load nothing from elsewhere.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with these headers added."""
        is_documentation = scope.get("path", "") == "/docs"
        policy = _DOCUMENTATION_POLICY if is_documentation else _POLICY
        added = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_more)


def _failure(status: int, code: str, message: str, **more: int) -> JSONResponse:
    return JSONResponse({"code": code, "error": message, **more}, status)


def _add_errors(app: FastAPIOffline, limits: Limits) -> None:
    @app.exception_handler(RequestValidationError)
    async def refuse_request(_request: Request, error: RequestValidationError) -> Response:
        return _invalid(error)

    @app.exception_handler(WordNotFound)
    async def refuse_sentence(_request: Request, error: WordNotFound) -> Response:
        return _failure(422, "word_not_found", str(error), found=error.sentence)

    @app.exception_handler(TooManyNumbers)
    async def refuse_size(_request: Request, error: TooManyNumbers) -> Response:
        return _failure(
            422, "too_many_numbers", str(error), limit=error.limit, found=error.count
        )

    @app.exception_handler(HTTPException)
    async def refuse_http(_request: Request, error: HTTPException) -> Response:
        response = _failure(error.status_code, f"http_{error.status_code}", str(error.detail))
        response.headers.update(error.headers or {})
        if error.status_code == 503:
            response.headers["Retry-After"] = str(int(limits.answer_seconds))
        return response

    @app.exception_handler(Exception)
    async def report_failure(_request: Request, _error: Exception) -> Response:
        return _failure(500, "internal", "the server failed; its log tells why")


def _invalid(error: RequestValidationError) -> JSONResponse:
    """Return the answer to a body that is no JSON or not what the schema allows."""
    problems = error.errors()
    first = problems[0]
    if first["type"] == "json_invalid":
        return _failure(400, "not_json", f"the body is no JSON: {first['ctx']['error']}")
    if first["type"] == "string_too_long":
        length, limit = len(first["input"]), first["ctx"]["max_length"]
        message = f"{_place(first['loc'])}: at most {limit} characters, found {length}"
        return _failure(422, "text_too_long", message, limit=limit, found=length)
    return _failure(422, "invalid", "; ".join(
        f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems[:3]
    ))


def _place(location: Sequence[Union[str, int]]) -> str:
    """Return a place in the body, such as texts[0]."""
    place = ""
    for part in location[1:]:
        if isinstance(part, int):
            place += f"[{part}]"
            continue
        name = part if part.isidentifier() and len(part) < 40 else f"{part[:40]!r}"
        place += f".{name}" if place else name
    return place or "the body"
