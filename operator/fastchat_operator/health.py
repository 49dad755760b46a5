"""What the kubelet asks: does the process live?"""

from aiohttp import web


async def serve(port: int) -> web.AppRunner:
    """Answer `/health` and `/ready`, on every operator, the one that leads and those that wait."""

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.add_routes([web.get("/health", alive), web.get("/ready", alive)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104  # a pod is reached from outside
    return runner
