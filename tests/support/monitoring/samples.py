"""What /metrics of gateway, worker and operator shows once each of their metrics has a sample."""

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, cast, get_args

from fastchat_gateway.discovery.protocol import Contact, Discovery
from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, ModelRecord
from fastchat_gateway.telemetry.metrics import Metrics as GatewayMetrics
from fastchat_gateway.telemetry.metrics import Watched
from fastchat_operator.key import Key, ModelKey
from fastchat_operator.kube.kind import DEPLOYMENT
from fastchat_operator.kube.scopes import Scopes
from fastchat_operator.metrics import Metrics as OperatorMetrics
from fastchat_operator.reconcile.contest import Contests, Subject
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import Scheduler
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.telemetry.metrics import Metrics as WorkerMetrics
from fastchat_worker.telemetry.start import StartPhases


def of_gateway() -> str:
    catalog = Catalog()
    catalog.update([ModelRecord("m", ("m",), (EndpointRecord("http://worker:8000", ready=True),))])
    following = SimpleNamespace(contact=Contact(connected=True, seconds=0.0))
    metrics = GatewayMetrics(catalog, cast(Discovery, following))
    metrics.request("m", "/v1/completions", 200, "ok", "alice")
    metrics.times("m", "/v1/completions", 0.1, 0.2)
    metrics.tokens("m", "alice", 1, 1)
    metrics.held("m", 1)
    metrics.queue_refused("m", "full")
    metrics.retry("m", ejected=True)
    metrics.resumed("m", "lost", 0.1)
    metrics.cut("m", "worker_lost")
    for name in get_args(Watched):
        metrics.watch(name, lambda: 1)
    return metrics.render().decode()


def of_worker() -> str:
    metrics = WorkerMetrics()
    metrics.watch_engine(Engine(cast(Any, None), Scheduler(SlotCache(1), 1, 1)), 256)
    metrics.watch("embeddings_waiting", "Texts that wait to be embedded or scored.", lambda: 0)
    metrics.requests.labels("/v1/completions", "200").inc()
    metrics.tokens.labels("prompt").inc()
    metrics.first_token.observe(1)
    phases = StartPhases(0.0)
    phases.report("loading the weights")
    metrics.watch_start(phases)
    return metrics.render().decode()


def of_operator() -> str:
    async def reconcile(key: Key) -> None:
        metrics.decided(ModelKey("team-a", "m"), 1, 1)

    metrics, scopes, contests = OperatorMetrics(), Scopes(["team-a"]), Contests()
    subject = Subject(DEPLOYMENT, "team-a", "m-worker")
    for _ in range(9):
        contests.wrote(subject, "same", "field manager 'x'")
    metrics.show(scopes, contests)
    metrics.scaled("up")
    asyncio.run(_done(metrics.counted(reconcile)(ModelKey("team-a", "m"))))
    with scopes.leading():
        return metrics.render().decode()


async def _done(awaited: Awaitable[None]) -> None:
    await awaited
