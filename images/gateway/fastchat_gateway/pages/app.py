"""Every route off the hot path, and the description of all of them."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, StreamingResponse

from fastchat import api, demand
from fastchat._runtime import docs_page
from fastchat.api.messages import MessagesError
from fastchat.api.routes import MODEL, MODELS, ROUTES, TOKEN_CHECK, Route, style_of
from fastchat_gateway.access.limits import visible
from fastchat_gateway.discovery.protocol import Contact, Discovery
from fastchat_gateway.errors import RefusedError, method_not_allowed, no_route, server_error
from fastchat_gateway.http.headers import pairs
from fastchat_gateway.pages.overview import add_overview
from fastchat_gateway.pages.token_check import TokenCheck
from fastchat_gateway.pages.web import WebFile, add_page
from fastchat_gateway.proxy.drain import Drain
from fastchat_gateway.proxy.gateway import Gateway
from fastchat_gateway.telemetry.demand import lines

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": api.ErrorResponse, "description": "Refused."},
    "5XX": {"model": api.ErrorResponse, "description": "Not served; try again later."},
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create(gateway: Gateway, discovery: Discovery, lifespan: Lifespan, web: Mapping[str, WebFile]) -> FastAPI:
    """The pages of a gateway. `web`: URL path → file of the page to chat on; empty: there is none."""
    app = FastAPI(
        title="FastChat gateway",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if gateway.keyring.required else [],
    )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(Exception, _fault)
    _add_models(app, gateway)
    _add_token_check(app, gateway)
    _add_probes(app, discovery, gateway.drain)
    _add_metrics(app, gateway)
    _add_demand(app, gateway)
    add_overview(app, gateway, discovery)
    _describe_hot_path(app)
    _add_docs(app)
    if web:
        add_page(app, web)
    return app


def _add_models(app: FastAPI, gateway: Gateway) -> None:
    catalog = gateway.context.catalog

    @app.get(MODELS.path, **_described(MODELS))
    async def list_models(request: Request) -> Response:
        names = visible(request["exchange"].key, catalog.names())
        return _json(api.ModelList(data=[card for name in names if (card := catalog.card(name))]))

    @app.get(MODEL.path, **_described(MODEL))
    async def retrieve_model(request: Request, model: str) -> Response:
        card = catalog.card(model) if visible(request["exchange"].key, catalog.names([model])) else None
        if card is None:
            raise catalog.unknown(model)
        return _json(card)


def _add_token_check(app: FastAPI, gateway: Gateway) -> None:
    check = TokenCheck(gateway)

    @app.post(TOKEN_CHECK.path, include_in_schema=False)
    async def measure(request: Request) -> Response:
        await gateway.unpack(request["exchange"])
        return _json(await check.measure(request["exchange"], await request.body()))


def _add_probes(app: FastAPI, discovery: Discovery, drain: Drain) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "Starting or shutting down."}})
    async def ready(response: Response) -> dict[str, str]:
        """Requests are taken; `discovery` says what is amiss where the models may have changed unnoticed."""
        serving = discovery.ready and not drain.draining
        response.status_code = 200 if serving else 503
        state = "shutting down" if drain.draining else "ok" if serving else "starting"
        return {"status": state, **_amiss(discovery.contact)}


def _amiss(contact: Contact | None) -> dict[str, str]:
    if contact is None or contact.connected:
        return {}
    return {"discovery": f"no word from the Kubernetes API for {contact.seconds:.0f} s"}


def _add_metrics(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/metrics", response_class=Response, responses=_ERRORS | {200: {"content": {"text/plain": {}}}})
    async def scrape() -> Response:
        """Prometheus' text format."""
        gateway.flush_reports()
        return Response(gateway.context.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _add_demand(app: FastAPI, gateway: Gateway) -> None:
    @app.get(demand.PATH, include_in_schema=False)
    async def tell_demand(request: Request) -> Response:
        """Requests held and in flight, for the autoscaler: a line of JSON for every change, without end."""
        gateway.drain.in_flight.discard(request["exchange"])  # it ends when everything else has
        said = lines(gateway.context.catalog, gateway.context.metrics, gateway.is_over)
        return StreamingResponse(said, media_type="application/x-ndjson", headers={"cache-control": "no-store"})


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        """The document for people; FastAPI's own page loads a script from the internet."""
        return HTMLResponse(docs_page.docs_page(app.openapi()), headers=docs_page.HEADERS)


def _describe_hot_path(app: FastAPI) -> None:
    """Put into the OpenAPI document the routes that the gateway serves before a request gets here."""
    for route in ROUTES:
        if route.request is not None:
            made = _never_called_for_model if "{model" in route.path else _never_called
            app.post(route.path, **_described(route))(made(route.request))


def _never_called(request: type[BaseModel]) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    """An endpoint with a body of this type, for the document."""

    async def endpoint(body: request) -> NoReturn:  # type: ignore[valid-type]  # FastAPI reads it at run time
        raise NotImplementedError(body)

    return endpoint


def _never_called_for_model(request: type[BaseModel]) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    """Likewise, with the model in its path."""

    async def endpoint(model: str, body: request) -> NoReturn:  # type: ignore[valid-type]  # FastAPI reads it
        raise NotImplementedError(model, body)

    return endpoint


def _described(route: Route) -> dict[str, Any]:
    """What the OpenAPI document says of a route: arguments of FastAPI's decorators."""
    content: dict[str, Any] = {"text/event-stream": {}} if route.event else {}
    return {
        "name": route.name,
        "description": route.description,
        "response_model": None,
        "responses": {200: {"model": route.response, "content": content}, **_errors(route)},
    }


def _errors(route: Route) -> dict[int | str, dict[str, Any]]:
    if route.style != "messages":
        return _ERRORS
    return {status: {**said, "model": MessagesError} for status, said in _ERRORS.items()}


def _json(document: api.Response) -> Response:
    return Response(document.to_json(), media_type="application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405."""
    allow = (getattr(error, "headers", None) or {}).get("Allow")
    path = request.url.path
    return await _refused(request, method_not_allowed(request.method, path, allow) if allow else no_route(path))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101  # what it is registered for
    headers = {name.decode(): value.decode() for name, value in pairs(error.header_lines)}
    document = error.document(style_of(request.url.path), request["exchange"].request_id.decode())
    return Response(document, error.status, headers, media_type="application/json")


async def _fault(request: Request, _: Exception) -> Response:
    """Starlette raises the exception again after this; the gateway logs it."""
    return await _refused(request, server_error())
