"""Puts a gateway together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from fastchat_gateway import descriptors
from fastchat_gateway.access.cors import Cors
from fastchat_gateway.access.keyring import Keyring
from fastchat_gateway.access.limits import Meter
from fastchat_gateway.clock import Clock
from fastchat_gateway.discovery.kubernetes import KubernetesDiscovery, connect_by
from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.discovery.protocol import Discovery
from fastchat_gateway.discovery.static import StaticDiscovery
from fastchat_gateway.pages import app as pages
from fastchat_gateway.pages.web import read_files
from fastchat_gateway.proxy.context import RelayContext
from fastchat_gateway.proxy.drain import Drain
from fastchat_gateway.proxy.gateway import Gateway, ServerLimits
from fastchat_gateway.proxy.resumption import ResumeBudget
from fastchat_gateway.routing.catalog import Catalog
from fastchat_gateway.server.server import Server
from fastchat_gateway.settings import Settings
from fastchat_gateway.telemetry import tracing
from fastchat_gateway.telemetry.access_log import AccessLog
from fastchat_gateway.telemetry.metrics import Metrics
from fastchat_gateway.workers.handover import Handover
from fastchat_gateway.workers.heartbeat import Heartbeat
from fastchat_gateway.workers.loading import LoadWatch
from fastchat_gateway.workers.pool import Pool

_RELOAD_SECONDS = 1.0


def build(settings: Settings) -> Server:
    """The server of a gateway."""
    clock = Clock()
    catalog = Catalog()
    probe = Probe(settings.poll_timeout_seconds, settings.internal_token)
    meter = Meter()
    discovery = _discovery(settings, catalog, probe, meter)
    pool = Pool(clock, settings.connect_timeout_seconds)
    metrics = Metrics(catalog, discovery)
    keyring = Keyring(settings.key_digests, settings.keys_dir, required=settings.require_api_keys)
    access_log = AccessLog() if settings.access_log else None
    tracer = tracing.start()
    web = read_files() if settings.page else {}
    gateway = Gateway(
        _context(settings, catalog, pool, metrics),
        clock=clock,
        drain=Drain(settings.grace_period_seconds),
        keyring=keyring,
        meter=meter,
        access_log=access_log,
        limits=_limits(settings),
        open_paths=[*web, *(["/metrics"] if settings.open_metrics else [])],
        hosts=settings.allowed_hosts,
        cors=_cors(settings),
        tracer=tracer,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        heartbeat, handover = Heartbeat(pool, probe, settings.silence_seconds), Handover(catalog, pool, probe)
        async with probe, discovery, heartbeat, handover, LoadWatch(catalog, probe):
            reloading = asyncio.create_task(_reload(keyring)) if settings.keys_dir else None
            yield
            if reloading is not None:
                reloading.cancel()
        pool.close()
        gateway.flush_reports()
        if access_log is not None:
            access_log.flush()
        await asyncio.to_thread(tracer.close)

    return Server(gateway, pages.create(gateway, discovery, lifespan, web))


def _context(settings: Settings, catalog: Catalog, pool: Pool, metrics: Metrics) -> RelayContext:
    resuming = ResumeBudget(settings.max_resume_bytes) if settings.max_resume_bytes else None
    return RelayContext(catalog, pool, metrics, settings.comment_seconds, settings.internal_token, resuming)


def _cors(settings: Settings) -> Cors | None:
    if not settings.allowed_origins:
        return None
    return Cors(
        settings.allowed_origins,
        settings.allowed_methods,
        settings.allowed_headers,
        credentials=settings.allow_credentials,
    )


def _limits(settings: Settings) -> ServerLimits:
    return ServerLimits(
        max_body_bytes=settings.max_body_bytes,
        max_buffered_bytes=settings.max_buffered_bytes,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_connections=settings.max_connections or descriptors.connections(),
        header_seconds=settings.header_timeout_seconds,
        client_seconds=settings.client_timeout_seconds,
        upstream_seconds=settings.upstream_timeout_seconds,
    )


async def _reload(keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(_RELOAD_SECONDS)
        await asyncio.to_thread(keyring.reload)


def _discovery(settings: Settings, catalog: Catalog, probe: Probe, meter: Meter) -> Discovery:
    if settings.namespace is not None:
        connect = connect_by(settings.kubeconfig)
        return KubernetesDiscovery(
            catalog, probe, connect, settings.namespace, meter.share_among, period=settings.poll_seconds
        )
    return StaticDiscovery(
        catalog,
        probe,
        settings.workers,
        settings.aliases,
        settings.queue,
        period=settings.poll_seconds,
        load_balancing=settings.load_balancing,
    )
