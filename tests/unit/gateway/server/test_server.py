"""What the gateway relies on of uvicorn that uvicorn does not promise, and its limit of connections."""

import inspect
import re
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

from fastchat_gateway.descriptors import connections_for
from fastchat_gateway.server.server import Server


def test_uvicorn_still_has_the_names_that_the_server_relies_on() -> None:
    assert {"connections", "tasks"} <= vars(ServerState()).keys()
    server = uvicorn.Server(uvicorn.Config(None))
    assert {"server_state", "should_exit", "force_exit", "started"} <= vars(server).keys()
    assert list(inspect.signature(uvicorn.Server.on_tick).parameters) == ["self", "counter"]
    assert list(inspect.signature(uvicorn.Server.handle_exit).parameters) == ["self", "sig", "frame"]


def test_uvicorn_calls_what_it_is_given_for_a_protocol_and_asks_connections_to_shut_down() -> None:
    assert "config.http_protocol_class(" in inspect.getsource(uvicorn.Server.startup)
    assert "in list(self.server_state.connections)" in inspect.getsource(uvicorn.Server.shutdown)
    assert "connection.shutdown()" in inspect.getsource(uvicorn.Server.shutdown)


def test_only_the_server_knows_uvicorn() -> None:
    package = Path(inspect.getfile(Server)).parent.parent
    knowing = {path.name for path in package.rglob("*.py") if re.search(r"(import|from) uvicorn", path.read_text())}
    assert knowing == {"server.py"}


def test_each_client_can_have_a_descriptor_for_a_worker_as_well() -> None:
    assert connections_for(1024) == 480
    assert connections_for(2**20) == 524_256
    assert connections_for(20) == 1
