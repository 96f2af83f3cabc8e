"""The rating page on this machine alone: one page, five addresses, no names of models in any of them.

Every request that reads or writes data must carry the token of this start and come from the page itself, so that no
other site open in the same browser can read samples or cast votes (CSRF, DNS rebinding).
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from eval.ratings import BadRating, Store

PAGE = Path(__file__).parent / "pages" / "rate.html"
_MAX_BYTES = 200_000  # of one vote: a hundred spans are far less


def page() -> tuple[str, str]:
    """(HTML, Content-Security-Policy that allows its own script and style by hash, and nothing else)."""
    html = PAGE.read_text("utf-8")

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(x.encode()).digest()).decode()}'" for x in found)

    policy = f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'"
    return html, f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def application(store: Store, token: str, port: int) -> Any:
    """The FastAPI application. `port` is where it will be reached on 127.0.0.1."""
    from fastapi import FastAPI, Request
    from fastapi.responses import HTMLResponse, JSONResponse, Response

    app = FastAPI(title="rating", docs_url=None, redoc_url=None, openapi_url=None)
    html, policy = page()
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refused(request.method, request.url.path, dict(request.headers), hosts, token)
        if refused:
            return JSONResponse({"error": refused}, status_code=403)
        try:
            response = await answer(request)
        except BadRating as error:
            response = JSONResponse({"error": str(error)}, status_code=400)
        response.headers["Content-Security-Policy"] = policy
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(html)

    @app.get("/next")
    def following(rater: str) -> JSONResponse:
        return JSONResponse(store.next(rater) or {"finished": True})

    @app.post("/vote")
    async def vote(request: Request) -> JSONResponse:
        body = await _body(request)
        try:
            given = str(body["rater"]), int(body["place"]), str(body["choice"])
            more = body.get("ratings", {}), body.get("spans", []), int(body.get("milliseconds", 0))
        except (KeyError, TypeError, ValueError):
            raise BadRating("a vote needs rater, place and choice") from None
        return JSONResponse({"vote": store.vote(*given, *more)})

    @app.post("/undo")
    async def undo(request: Request) -> JSONResponse:
        body = await _body(request)
        return JSONResponse({"undone": store.undo(str(body.get("rater", "")))})

    return app


async def _body(request: Any) -> dict[str, Any]:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BYTES:
            raise BadRating(f"a vote has at most {_MAX_BYTES} bytes")
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadRating("a vote is a JSON object")
    return found


def _refused(method: str, path: str, headers: dict[str, str], hosts: set[str], token: str) -> str:
    """Why a request is not answered; empty where it is."""
    if headers.get("host", "") not in hosts:
        return "this page is reached as 127.0.0.1 only"
    origin = headers.get("origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return "requests of other pages are not answered"
    if method == "POST" and origin is None:
        return "a vote must come from the page"
    if path != "/" and not hmac.compare_digest(headers.get("x-token", "").encode(), token.encode()):
        return "the token is not that of this start; open the address that the command printed"
    return ""


def serve(store: Store, port: int = 8383) -> None:
    """Serve until interrupted."""
    import uvicorn

    token = secrets.token_urlsafe(24)
    # Behind # the token stays in the browser: it is in no log and in no Referer.
    print(f"rate at http://127.0.0.1:{port}/#{token}   (Ctrl-C ends; votes are kept)", flush=True)
    uvicorn.run(application(store, token, port), host="127.0.0.1", port=port, log_level="warning")
