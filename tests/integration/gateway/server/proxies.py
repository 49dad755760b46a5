"""Real proxies before a gateway, each with as few connections to it as it can be told to have."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.ports import free_port, listens

_NGINX = """
daemon off; worker_processes 1; error_log stderr error; pid {folder}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream gateway {{ server 127.0.0.1:{to}; keepalive 1; keepalive_requests 1000000; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_next_upstream off;
      proxy_request_buffering off; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""

_HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
frontend clients
  bind 127.0.0.1:{port}
  default_backend gateway
backend gateway
  http-reuse always
  server gateway 127.0.0.1:{to} maxconn 1
"""


def _envoy(port: int, to: int) -> str:
    at = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{at}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "stream_idle_timeout": "60s",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{at}.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "gateway", "timeout": "60s"}}],
                }
            ]
        },
    }
    cluster = {
        "name": "gateway",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": 1000}]},
        "load_assignment": {
            "cluster_name": "gateway",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(to)}}]}],
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": "clients", "address": _address(port), "filter_chains": [chain]}
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _command(name: str, folder: Path, port: int, to: int) -> list[str]:
    file = folder / "configuration.yaml"
    if name == "nginx":
        file.write_text(_NGINX.format(folder=folder, port=port, to=to))
        return ["nginx", "-p", str(folder), "-c", str(file)]
    if name == "haproxy":
        file.write_text(_HAPROXY.format(port=port, to=to))
        return ["haproxy", "-db", "-f", str(file)]
    file.write_text(_envoy(port, to))
    envoy = str(Path(sys.executable).parent / "envoy")
    return [envoy, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


@contextlib.contextmanager
def before(name: str, to: int) -> Iterator[int]:
    """nginx, haproxy or envoy before the gateway on a port; yields its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(_command(name, Path(folder), port, to), stdout=output, stderr=output)
        try:
            until = time.monotonic() + 30
            while not listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    output.seek(0)
                    raise AssertionError(f"{name} did not start: {output.read().decode()}")
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
