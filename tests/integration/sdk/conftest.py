import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.types import ASGIApp
from support.eventually import PATIENCE_SECONDS

from fastchat import client
from fastchat._client.settings import Settings

Serve = Callable[[ASGIApp], str]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("FASTCHAT_BASEURL", "FASTCHAT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield
    client.set_baseurl(None)
    client.set_api_key(None)
    client.set_timeout(Settings.timeout)
    client.set_max_retries(2)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an app on a real socket until the test ends, gives its address and points the client there."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.005)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client.set_baseurl(url)
        return url

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
