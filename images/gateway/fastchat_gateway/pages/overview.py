"""What operators see at a glance: models, their workers, and API keys. Numbers over time are in /metrics."""

import time
from typing import Any

import msgspec
from fastapi import FastAPI, Response

from fastchat._runtime.version import version
from fastchat_gateway.access.internal import OVERVIEW
from fastchat_gateway.access.keyring import Key
from fastchat_gateway.discovery.protocol import Discovery
from fastchat_gateway.proxy.gateway import Gateway
from fastchat_gateway.routing.catalog import Endpoint, Model


def add_overview(app: FastAPI, gateway: Gateway, discovery: Discovery) -> None:
    """For the internal token, and for keys that may see it."""

    @app.get(OVERVIEW, include_in_schema=False)
    async def overview() -> Response:
        now, contact = time.monotonic(), discovery.contact
        document = {
            "version": version(),
            "stopping": gateway.drain.draining,
            "discovery": None if contact is None else {"connected": contact.connected, "seconds": contact.seconds},
            "models": [_model(each, now) for each in gateway.context.catalog],
            "keys": [_key(each) for each in gateway.keyring],
        }
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(document), headers=headers, media_type="application/json")


def _model(model: Model, now: float) -> dict[str, Any]:
    record = model.record
    return {
        "name": record.name,
        "aliases": [name for name in record.names if name != record.name],
        "task": record.task,
        "source": record.root,
        "parent": record.parent,
        "max_model_len": record.max_model_len,
        "replicas": record.replicas,
        "ready": model.ready,
        "held": model.queue.length,
        "in_flight": model.in_flight,
        "status": record.status,
        "endpoints": [_endpoint(each, now) for each in model.endpoints],
    }


def _endpoint(endpoint: Endpoint, now: float) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "uid": endpoint.uid,
        "ready": endpoint.ready,
        "outstanding": endpoint.outstanding,
        "failures": endpoint.failures,
        "left_out_seconds": max(0.0, endpoint.ejected_until - now) if endpoint.ejections else 0.0,
        "silent": endpoint.silent,
        "loading": None if endpoint.loading is None else endpoint.loading._asdict(),
    }


def _key(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "models": None if key.models is None else sorted(key.models),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "max_concurrent": key.max_concurrent,
        "expires": key.expires,
        "operator": key.operator,
    }
