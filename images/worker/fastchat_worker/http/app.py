"""The worker's HTTP app: its routes, what is around them, and how errors are written."""

import logging
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from fastchat._runtime import docs_page
from fastchat._runtime.resuming import HANDOVER_PATH
from fastchat._runtime.version import version
from fastchat.api import Error
from fastchat.api.common import build_types
from fastchat.api.routes import MODEL, MODELS
from fastchat_worker.errors import RequestError, not_draining, server_error
from fastchat_worker.http import agent_routes, embedding_routes, inference, openapi, token_routes
from fastchat_worker.http.auth import Auth
from fastchat_worker.http.middleware import Middleware
from fastchat_worker.http.openapi import described
from fastchat_worker.http.refusal import body_of
from fastchat_worker.serving.service import Service

logger = logging.getLogger(__name__)
build_types()  # with the import, as torch is: a worker has them before it listens


def create_app(service: Service) -> FastAPI:
    """The routes of a worker over one service; the design page has the contract that they keep."""
    app = FastAPI(title="FastChat worker", version=version(), docs_url=None, redoc_url=None, redirect_slashes=False)
    openapi.describe(app)
    _add_errors(app)
    inference.add_generation(app, service)
    agent_routes.add_responses(app, service)
    agent_routes.add_messages(app, service)
    embedding_routes.add_embeddings(app, service)
    embedding_routes.add_reranking(app, service)
    token_routes.add_tokens(app, service)
    _add_models(app, service)
    _add_probes(app, service)
    _add_handover(app, service)
    _add_docs(app)
    if token := service.settings.internal_token:
        app.add_middleware(Auth, token=token)
    app.add_middleware(Middleware, service=service)
    return app


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get(MODELS.path, **described(MODELS))
    async def models() -> Response:
        """The one model of this worker; its name is known before it is loaded."""
        return Response(service.models.cards().to_json(), media_type="application/json")

    @app.get(MODEL.path, **described(MODEL))
    async def model(model: str) -> Response:
        """The model by its name."""
        return Response(service.models.card(model).to_json(), media_type="application/json")


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/health", responses={503: {"description": "broken"}})
    async def health() -> JSONResponse:
        """The process lives, and its model can compute."""
        if reason := service.ailing(time.monotonic()):
            return JSONResponse({"status": "broken", "detail": reason}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/ready", responses={503: {"description": "loading, draining or broken"}})
    async def ready() -> JSONResponse:
        """The model is loaded and requests are taken; until then, how far it is."""
        body: dict[str, Any] = {"status": service.phase, "detail": service.detail, "digest": service.models.digest}
        if service.phase == "loading":
            body["loading"] = service.progress.told()._asdict()
        return JSONResponse(body, 200 if service.phase == "ready" else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


def _add_handover(app: FastAPI, service: Service) -> None:
    @app.post(HANDOVER_PATH, include_in_schema=False)
    async def hand_over() -> Response:
        """Ends what other workers can go on with. Only a worker that stops does so."""
        if service.phase != "draining":
            raise not_draining(service.phase)
        service.hand_over()
        return Response(status_code=204)


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        """The document for people; FastAPI's own page loads a script from the internet."""
        return HTMLResponse(docs_page.docs_page(app.openapi()), headers=docs_page.HEADERS)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return Response(body_of(error, request.scope), error.status, error.headers, "application/json")

    @app.exception_handler(HTTPException)
    async def unknown_route(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path}."
        said = Error(message=message, code="not_found" if error.status_code == 404 else None)
        return await refused(request, RequestError(error.status_code, said, dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        logger.error("a request failed", exc_info=error)
        return await refused(request, server_error())
