"""The live page of `allennlp saliency serve`: what it answers, and to whom."""

import json
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, Sequence

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from allennlp_layer_saliency.reports.page import rendered_template
from allennlp_layer_saliency.server.live import LiveModel, Span
from allennlp_layer_saliency.server.queue import Abandoned, Full, WorkQueue

# Requests that may wait for the model; bytes of a request; characters of a text; texts of a saved page.
WAITING, BODY, TEXT, TRIES = 32, 2**18, 20_000, 50

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BadRequest(Exception):
    """What is wrong with a request, for whoever made it."""


class OnlyFromPage:
    """
    Refuses requests that the page itself can't have made: under another name than the server's (DNS
    rebinding), or from another site.

    # Parameters

    app : `ASGIApp`
    hosts : `Sequence[str]`
        What the Host header may say, with the port.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Dict[str, str] = {
            name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]
        }
        problem = self._problem(scope["method"], headers)
        if problem is not None:
            await PlainTextResponse(problem, 403, SECURITY)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, method: str, headers: Dict[str, str]) -> Any:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return f"this server is not {host!r}"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            return f"requests from {origin!r} are not answered"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "requests from another site are not answered"
        # A form of another site can't send this type, and what reads no headers sends no Origin.
        if method == "POST" and headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return "application/json is wanted"
        return None


def make_app(live: LiveModel, title: str, hosts: Sequence[str]) -> ASGIApp:
    """
    # Parameters

    live : `LiveModel`
    title : `str`
    hosts : `Sequence[str]`
        As of `OnlyFromPage`.
    """
    queue = WorkQueue(WAITING)
    files = {
        "live.js": ("text/javascript", rendered_template("draw.js") + rendered_template("live.js")),
        "live.css": ("text/css", rendered_template("page.css") + rendered_template("live.css")),
    }
    known = {
        "fields": live.fields,
        "labels": live.labels,
        "layers": live.layers,
        "interpreters": live.interpreters,
        "first": live.first,
    }

    async def page(request: Request) -> Response:
        return _secured(
            Response(rendered_template("live.html", title=title, known=known), media_type="text/html")
        )

    async def file(request: Request) -> Response:
        media_type, content = files[request.url.path.strip("/")]
        return _secured(Response(content, media_type=media_type))

    def work(do: Callable[[JsonDict], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                given = await _body(request)
                found = await queue.run(lambda: do(given), request.is_disconnected)
            except (BadRequest, ConfigurationError) as error:
                # A message may quote the text, which may hold halves of surrogate pairs.
                message = " ".join(str(error).split()).encode("utf-8", "backslashreplace").decode()
                return _secured(JSONResponse({"error": message}, 422))
            except Full:
                busy = {"error": f"{WAITING} requests are waiting already; try again in a moment"}
                return _secured(JSONResponse(busy, 503, {"Retry-After": "1"}))
            except Abandoned:
                return Response(status_code=499)
            if isinstance(found, str):
                return _secured(Response(found, media_type="text/html"))
            return _secured(JSONResponse(found))

        return answer

    def explain(given: JsonDict) -> JsonDict:
        return live.explain(**_choices(given, live))

    def predict(given: JsonDict) -> JsonDict:
        return live.predict(_texts(given, live), _masked(given))

    def report(given: JsonDict) -> str:
        tries = given.get("tries")
        if not isinstance(tries, list) or not 1 <= len(tries) <= TRIES:
            raise BadRequest(f"tries: 1 to {TRIES} are wanted")
        return live.report([_choices(each if isinstance(each, dict) else {}, live) for each in tries], title)

    routes = [
        Route("/", page),
        *(Route(f"/{name}", file) for name in files),
        Route("/explain", work(explain), methods=["POST"]),
        Route("/predict", work(predict), methods=["POST"]),
        Route("/report", work(report), methods=["POST"]),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        queue.close()

    return OnlyFromPage(Starlette(routes=routes, lifespan=lifespan), hosts)


def _secured(response: Response) -> Response:
    response.headers.update(SECURITY)
    return response


async def _body(request: Request) -> JsonDict:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY:
            raise BadRequest(f"a request may have {BODY:,} bytes")
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON is wanted: {error}") from error
    if not isinstance(given, dict):
        raise BadRequest("a JSON object is wanted")
    return given


def _texts(given: JsonDict, live: LiveModel) -> Dict[str, str]:
    texts = given.get("texts")
    if not isinstance(texts, dict) or set(texts) != set(live.fields):
        raise BadRequest(f"texts: {' and '.join(live.fields)} are wanted")
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > TEXT:
            raise BadRequest(f"{name}: a text of at most {TEXT:,} characters is wanted")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest(f"{name}: it holds half of a surrogate pair, which is no character")
    return {name: texts[name] for name in live.fields}


def _choices(given: JsonDict, live: LiveModel) -> JsonDict:
    names = ("interpreter", "layer", "target_class", "contrast_class")
    chosen = {name: given[name] for name in names if given.get(name) is not None}
    for name, value in chosen.items():
        if not isinstance(value, str):
            raise BadRequest(f"{name}: a string is wanted")
    return {"texts": _texts(given, live), "interpreter": live.first, **chosen}


def _masked(given: JsonDict) -> List[Span]:
    masked = given.get("masked", [])
    try:
        spans = [Span(*map(_number, each)) for each in masked]
    except TypeError as error:
        raise BadRequest("masked: a list of [text, start, end] is wanted") from error
    if len(spans) > TEXT:
        raise BadRequest(f"masked: at most {TEXT:,} words are wanted")
    return spans


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value
