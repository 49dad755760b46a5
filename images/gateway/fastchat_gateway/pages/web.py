"""The page at `/`: a folder of files that a browser runs, read once."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response

from fastchat_gateway.errors import no_route

_FOLDER = Path(__file__).parents[1] / "web"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "accept-encoding",
    "X-Content-Type-Options": "nosniff",
}
"""Scripts and styles of this gateway only, none inline, none from text: what a model writes cannot be run."""


@dataclass(frozen=True)
class WebFile:
    """A file as it is sent."""

    body: bytes
    packed: bytes
    """By gzip."""
    media_type: str
    etag: str


def read_files(folder: Path = _FOLDER) -> Mapping[str, WebFile]:
    """URL path → file: `/` is the document, the others are below `/web/`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            name = path.relative_to(folder).as_posix()
            found["/" if name == "index.html" else f"/web/{name}"] = _read(path)
    return found


def _read(path: Path) -> WebFile:
    body = path.read_bytes()
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    return WebFile(body, gzip.compress(body, mtime=0), _TYPES[path.suffix], etag)


def add_page(app: FastAPI, files: Mapping[str, WebFile]) -> None:
    """Serve the files, to whoever asks: the page has no secret, and asks for an API key itself."""

    @app.get("/web/{_:path}", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        file = files.get(request.url.path)
        if file is None:
            raise no_route(request.url.path)
        return _respond(file, request)


def _respond(file: WebFile, request: Request) -> Response:
    headers = {**_HEADERS, "ETag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if not _takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(file.body, headers=headers, media_type=file.media_type)
    return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)


def _takes_gzip(accepted: str) -> bool:
    """RFC 9110, 12.5.3."""
    codings = (each.replace(" ", "").lower().partition(";") for each in accepted.split(","))
    return any(name == "gzip" and weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000") for name, _, weight in codings)
