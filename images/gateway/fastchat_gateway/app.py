"""Puts a gateway together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from fastchat_gateway import inference, pages, token_check
from fastchat_gateway.access_log import AccessLog
from fastchat_gateway.api_server import ApiServer
from fastchat_gateway.catalog import Catalog
from fastchat_gateway.discovery import Discovery
from fastchat_gateway.drain import Drain
from fastchat_gateway.forward import Forwarder
from fastchat_gateway.gateway import Gateway, Handler
from fastchat_gateway.kubernetes_discovery import KubernetesDiscovery
from fastchat_gateway.metrics import Metrics
from fastchat_gateway.probe import Probe
from fastchat_gateway.settings import Settings
from fastchat_gateway.static_discovery import StaticDiscovery
from fastchat_gateway.transport import Transport


def build(settings: Settings) -> Gateway:
    """The ASGI app of a gateway."""
    catalog = Catalog()
    probe = Probe(settings.poll_timeout_seconds)
    discovery = _discovery(settings, catalog, probe)
    transport = Transport(settings.connect_timeout_seconds)
    metrics = Metrics(catalog, discovery)
    drain = Drain(settings.grace_period_seconds)
    access_log = AccessLog() if settings.access_log else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with transport, probe, discovery:
            yield
        if access_log is not None:
            access_log.flush()

    forwarder = Forwarder(catalog, transport, metrics, comment_seconds=settings.comment_seconds)
    infer = inference.Inference(catalog, forwarder)
    handlers: dict[str, Handler] = dict.fromkeys(inference.PATHS, infer)
    handlers[token_check.PATH] = token_check.TokenCheck(catalog, forwarder)
    return Gateway(
        handlers,
        pages.create(catalog, discovery, metrics, drain, lifespan, keys=bool(settings.key_digests)),
        drain=drain,
        metrics=metrics,
        access_log=access_log,
        key_digests=settings.key_digests,
        max_body_bytes=settings.max_body_bytes,
    )


def _discovery(settings: Settings, catalog: Catalog, probe: Probe) -> Discovery:
    if settings.namespace is not None:
        api = ApiServer(settings.namespace, settings.kubeconfig)
        return KubernetesDiscovery(catalog, probe, api, period=settings.poll_seconds)
    return StaticDiscovery(
        catalog, probe, settings.workers, settings.aliases, settings.queue, period=settings.poll_seconds
    )
