"""FastChat's `/api/v1/token_check`: each prompt is measured by a worker of its own model."""

import asyncio

from pydantic import ValidationError

from fastchat.api import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult, request_error
from fastchat_gateway.call import Call
from fastchat_gateway.catalog import Model
from fastchat_gateway.errors import Refused, bad_answer, from_worker
from fastchat_gateway.exchange import Exchange
from fastchat_gateway.gateway import Gateway, to_worker
from fastchat_gateway.relay import collect

PATH = "/api/v1/token_check"


class TokenCheck:
    """Answers requests to PATH."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def answer(self, exchange: Exchange, body: bytes) -> TokenCheckResponse:
        """Of each prompt, in order; raises Refused."""
        try:
            items = TokenCheckRequest.model_validate_json(body).prompts
        except ValidationError as invalid:
            raise Refused(400, request_error(invalid)) from None
        groups = self._by_model(exchange, items)
        measured = await asyncio.gather(
            *[self._measure(model, [items[at] for at in places], exchange) for model, places in groups.items()]
        )
        results: list[TokenCheckResult] = [TokenCheckResult()] * len(items)
        for places, found in zip(groups.values(), measured, strict=True):
            for at, result in zip(places, found, strict=True):
                results[at] = result
        return TokenCheckResponse(prompts=results)

    def _by_model(self, exchange: Exchange, items: list[TokenCheckItem]) -> dict[Model, list[int]]:
        """Places of each model's prompts in the request."""
        groups: dict[Model, list[int]] = {}
        for at, item in enumerate(items):
            groups.setdefault(self._gateway.admit(exchange, item.model), []).append(at)
        return groups

    async def _measure(self, model: Model, items: list[TokenCheckItem], exchange: Exchange) -> list[TokenCheckResult]:
        name = model.name
        request = TokenCheckRequest(prompts=[item.model_copy(update={"model": name}) for item in items])
        lines = to_worker(exchange)
        call = Call(name, PATH.encode(), request.model_dump_json().encode(), lines, key=exchange.key.name)
        status, body = await collect(self._gateway.lanes, call, model)
        if status != 200:
            raise from_worker(status, body)
        try:
            results = TokenCheckResponse.model_validate_json(body).prompts
        except ValidationError:
            raise bad_answer(name) from None
        if len(results) != len(items):
            raise bad_answer(name)
        return results
