"""The hot path: inference requests, answered by workers."""

import logging
import time
from collections.abc import Mapping

from fastchat_gateway import call
from fastchat_gateway.call import Call
from fastchat_gateway.catalog import Catalog
from fastchat_gateway.errors import from_worker, worker_lost
from fastchat_gateway.exchange import Exchange
from fastchat_gateway.forward import Forwarder
from fastchat_gateway.transport import Answer, WorkerFailed

logger = logging.getLogger(__name__)

PATHS: Mapping[str, str] = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/v1/create_embeddings": "/v1/embeddings",
}
"""Our path → the worker's."""

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_LONGEST_EVENT = 2**20


class Inference:
    """Answers requests to PATHS."""

    def __init__(self, catalog: Catalog, forwarder: Forwarder) -> None:
        self._catalog = catalog
        self._forwarder = forwarder

    async def __call__(self, exchange: Exchange, body: bytes) -> None:
        name, stream = call.read(body)
        model = self._catalog.find(name)
        if model is None:
            raise self._catalog.unknown(name)
        exchange.model = model.name
        outgoing = Call(name, PATHS[exchange.path], body, upstream_headers(exchange))
        forwarded = await self._forwarder.forward(outgoing, exchange.comment if stream else None)
        try:
            exchange.endpoint = forwarded.url
            exchange.first_byte = time.perf_counter() - exchange.started
            await _pass_on(forwarded.answer, exchange)
        finally:
            forwarded.close()


def upstream_headers(exchange: Exchange) -> dict[str, str]:
    """The whole head a worker gets; the body has been checked to be JSON, whatever the client called it."""
    given = exchange.headers
    headers = {"content-type": "application/json", "x-request-id": exchange.request_id.decode()}
    for name in (b"accept", b"user-agent"):
        if name in given:
            headers[name.decode()] = given[name].decode("latin-1")
    return headers


async def _pass_on(answer: Answer, exchange: Exchange) -> None:
    if exchange.status:  # a held stream has its head already
        if not answer.streams:
            raise from_worker(answer.status, answer.body)
    elif answer.complete:
        await exchange.answer(answer.status, answer.headers, answer.body)
        return
    else:
        await exchange.start(answer.status, answer.headers, streams=answer.streams)
    try:
        await (_relay_events if answer.streams else _relay)(answer, exchange)
    except WorkerFailed as failure:
        logger.warning(
            "worker %s was lost during request %s: %s", exchange.endpoint, exchange.request_id.decode(), failure
        )
        raise worker_lost(exchange.model) from None


async def _relay(answer: Answer, exchange: Exchange) -> None:
    part = answer.body
    while part:
        await exchange.write(part)
        part = await answer.more()
    await exchange.write(b"", more=False)


async def _relay_events(answer: Answer, exchange: Exchange) -> None:
    """Pass whole events on, so that a worker's death leaves no half one in front of the error's."""
    part = answer.body
    rest = b""
    while part:
        if rest or not part.endswith(_EVENT_ENDS):
            part, rest = _split(rest + part)
        if part:
            await exchange.write(part)
        part = await answer.more()
    await exchange.write(rest, more=False)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Whole events, and the beginning of the next."""
    end = max(len(data) - len(data.rpartition(mark)[2]) for mark in _EVENT_ENDS)
    return (data[:end], data[end:]) if len(data) - end <= _LONGEST_EVENT else (data, b"")
