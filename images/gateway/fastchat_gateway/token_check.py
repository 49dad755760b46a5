"""FastChat's `/api/v1/token_check`: each prompt is measured by a worker of its own model."""

from pydantic import ValidationError

from fastchat.api import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult, request_error
from fastchat_gateway.call import Call
from fastchat_gateway.catalog import Catalog
from fastchat_gateway.errors import Refused, bad_answer, from_worker
from fastchat_gateway.exchange import Exchange
from fastchat_gateway.forward import Forwarder
from fastchat_gateway.inference import upstream_headers

PATH = "/api/v1/token_check"


class TokenCheck:
    """Answers requests to PATH."""

    def __init__(self, catalog: Catalog, forwarder: Forwarder) -> None:
        self._catalog = catalog
        self._forwarder = forwarder

    async def __call__(self, exchange: Exchange, body: bytes) -> None:
        try:
            items = TokenCheckRequest.model_validate_json(body).prompts
        except ValidationError as invalid:
            raise Refused(400, request_error(invalid)) from None
        results: list[TokenCheckResult] = [TokenCheckResult()] * len(items)
        for name, places in self._by_model(items).items():
            measured = await self._measure(name, [items[at] for at in places], upstream_headers(exchange))
            for at, result in zip(places, measured, strict=True):
                results[at] = result
        answer = TokenCheckResponse(prompts=results).to_json()
        await exchange.answer(200, [(b"content-type", b"application/json")], answer)

    def _by_model(self, items: list[TokenCheckItem]) -> dict[str, list[int]]:
        """Model's own name → places of its prompts in the request."""
        groups: dict[str, list[int]] = {}
        for at, item in enumerate(items):
            model = self._catalog.find(item.model)
            if model is None:
                raise self._catalog.unknown(item.model)
            groups.setdefault(model.name, []).append(at)
        return groups

    async def _measure(self, name: str, items: list[TokenCheckItem], headers: dict[str, str]) -> list[TokenCheckResult]:
        request = TokenCheckRequest(prompts=[item.model_copy(update={"model": name}) for item in items])
        forwarded = await self._forwarder.forward(Call(name, PATH, request.model_dump_json().encode(), headers))
        forwarded.close()
        answer = forwarded.answer
        if answer.status != 200:
            raise from_worker(answer.status, answer.body)
        try:
            results = TokenCheckResponse.model_validate_json(answer.body).prompts
        except ValidationError:
            raise bad_answer(name) from None
        if len(results) != len(items):
            raise bad_answer(name)
        return results
