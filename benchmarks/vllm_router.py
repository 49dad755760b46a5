"""Yardstick: vLLM's own router, in Rust, in an environment of its own, because its dependencies are not ours."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VERSION = "0.1.17"


def installed() -> Path:
    """Its command, installed the first time."""
    cache = Path(os.environ.get("FASTCHAT_CACHE") or Path.home() / ".cache/fastchat")
    folder = cache / f"vllm-router-{VERSION}"
    command = folder / "bin/vllm-router"
    if not command.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), f"vllm-router=={VERSION}"]
        subprocess.run(install, check=True)
    return command


def command(port: int, metrics_port: int, workers: Sequence[str]) -> list[str]:
    """As little as it can be asked to do: round robin, no line per request. Retries and metrics stay on, as in ours."""
    options = ["--policy=round_robin", "--log-level=error", f"--prometheus-port={metrics_port}"]
    return [str(installed()), "--host=127.0.0.1", f"--port={port}", *options, "--worker-urls", *workers]
