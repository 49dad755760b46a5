"""FastChat's `/api/v1/token_check`: each prompt is measured by a worker of its own model."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
from pydantic import ValidationError

from fastchat.api import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult, request_error
from fastchat.api.routes import TOKEN_CHECK
from fastchat_gateway.errors import RefusedError, bad_response, from_worker
from fastchat_gateway.pages.collect import collect
from fastchat_gateway.proxy.body import check_structure
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.exchange import Exchange
from fastchat_gateway.proxy.gateway import Gateway
from fastchat_gateway.routing.catalog import Model

_QUICK_BYTES = 4096
"""A body of this size takes less time to read than to hand to a thread."""

T = TypeVar("T")


class _Item(msgspec.Struct):
    model: str


class _Items(msgspec.Struct):
    prompts: list[_Item]


_items = msgspec.json.Decoder(_Items)


class TokenCheck:
    """Measures prompts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def measure(self, exchange: Exchange, body: bytes) -> TokenCheckResponse:
        """The prompts' lengths, in order; raises RefusedError, for what the key may not have before it is validated."""
        names = await _aside(body, lambda: _names(body))
        if exchange.is_over:
            return TokenCheckResponse()  # it has been reported, so that nothing would release what it is admitted for
        models = {name: self._gateway.admit(exchange, name) for name in names}
        items = await _aside(body, lambda: _validated(body))
        groups: dict[Model, list[int]] = {}
        for at, item in enumerate(items):
            groups.setdefault(models[item.model], []).append(at)
        measured = await asyncio.gather(
            *[self._forward(model, [items[at] for at in places], exchange) for model, places in groups.items()]
        )
        results: list[TokenCheckResult] = [TokenCheckResult()] * len(items)
        for places, found in zip(groups.values(), measured, strict=True):
            for at, result in zip(places, found, strict=True):
                results[at] = result
        return TokenCheckResponse(prompts=results)

    async def _forward(self, model: Model, items: list[TokenCheckItem], exchange: Exchange) -> list[TokenCheckResult]:
        name = model.name
        body = await _aside(exchange.body, lambda: _renamed(items, name))
        lines = exchange.to_worker(with_trace=True)
        call = Call(name, TOKEN_CHECK.worker_path.encode(), body, lines, key=exchange.key.name)
        status, document = await collect(self._gateway.context, call, model)
        if status != 200:
            raise from_worker(status, document)
        try:
            results = TokenCheckResponse.model_validate_json(document).prompts
        except ValidationError:
            raise bad_response(name) from None
        if len(results) != len(items):
            raise bad_response(name)
        return results


async def _aside(body: bytes, work: Callable[[], T]) -> T:
    """Work whose length is the body's: off the event loop where it may take a while."""
    return work() if len(body) <= _QUICK_BYTES else await asyncio.to_thread(work)


def _names(body: bytes) -> list[str]:
    """The models that the prompts name, each once; raises RefusedError for what is no such request."""
    check_structure(body)
    try:
        return list(dict.fromkeys(item.model for item in _items.decode(body).prompts))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return list(dict.fromkeys(item.model for item in _validated(body)))  # which says what is wrong


def _validated(body: bytes) -> list[TokenCheckItem]:
    try:
        return TokenCheckRequest.model_validate_json(body).prompts
    except ValidationError as invalid:
        raise RefusedError(400, request_error(invalid)) from None


def _renamed(items: list[TokenCheckItem], model: str) -> bytes:
    """The request that a worker gets, under the model's own name."""
    request = TokenCheckRequest(prompts=[item.model_copy(update={"model": model}) for item in items])
    return request.model_dump_json().encode()
