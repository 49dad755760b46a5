import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.types import ASGIApp
from support.client_settings import unset_settings
from support.eventually import PATIENCE_SECONDS
from support.ports import free_port

from fastchat import client

Serve = Callable[[ASGIApp], str]


@pytest.fixture(autouse=True)
def unset() -> Iterator[None]:
    with unset_settings():
        yield


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


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()
