"""HTTP for the kubelet and Prometheus: `/health` (the process lives), `/ready` (it can do its work), `/metrics`."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from fastchat_operator.kube.scopes import Scopes
from fastchat_operator.metrics import Metrics


async def serve(port: int, metrics: Metrics, scopes: Scopes) -> web.AppRunner:
    """Serve them; every operator does, the one that leads and those that wait. Raises OSError: the port is not free."""

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        return web.json_response(scopes.report(), status=200 if scopes.ready else 503)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/health", alive), web.get("/ready", ready), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104  # a pod is reached from outside
    return runner
